"""Uploads one after the other, and when each was acknowledged."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve.cli.remote import RemoteError, RemoteService

PATIENCE_S, POLL_S = 600.0, 0.01


class Uploads:
    """`acknowledged_at` has the acknowledged files' ids, in their order, and the time by `time.monotonic`."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._path = url, folder / "upload.txt"
        self.acknowledged_at: dict[str, float] = {}
        self._is_ending = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Upload during the block. What fails is tried again."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._is_ending.set()
            thread.join()

    def wait_for(self, number: int) -> None:
        """Wait until so many were acknowledged. Raises RemoteError if they are not in time."""
        end = time.monotonic() + PATIENCE_S
        while len(self.acknowledged_at) < number:
            if time.monotonic() > end:
                raise RemoteError(f"{self._url} took {len(self.acknowledged_at)} uploads within {PATIENCE_S:g} s")
            time.sleep(POLL_S)

    def _run(self) -> None:
        with RemoteService(self._url) as remote:
            while not self._is_ending.is_set():
                name = f"upload-{len(self.acknowledged_at)}.txt"
                self._path.write_text(f"This is {name}.\n")
                try:
                    file_id = remote.upload(self._path, name)
                except RemoteError:
                    time.sleep(POLL_S)
                else:
                    self.acknowledged_at[file_id] = time.monotonic()
