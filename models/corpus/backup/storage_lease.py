"""A lease in object storage: at most one owner at a time, although no process there can be asked whether it lives."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from models.corpus.backup.manifest import BackupUnderWayError
from models.corpus.leases import CLOCK_TOLERANCE
from models.corpus.remote_blobs import typed_client_errors
from models.errors.base import RagError
from models.errors.requests import ConflictError

LEASE_S, RENEW_S = 120.0, 20.0
WRITE_PAUSES_S = (0.1, 0.4, 1.5, 0.0)  # between looks at one that its owner may be writing: not every place replaces it
PLACE = "the place of the backups"
place_errors = partial(typed_client_errors, PLACE)


@dataclass(frozen=True)
class StorageLease:
    """An object that names its owner and its end. A killed owner's lease ends by itself, after LEASE_S seconds.

    `files` is fsspec's filesystem. Its clients' clocks must agree to a minute.
    """

    files: Any
    path: str
    clock: Callable[[], float] = time.time
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Own it during the block. Raises BackupUnderWayError, BlobsUnavailableError."""
        self._claim()
        stopped = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(stopped,), name="backup lease", daemon=True)
        renewer.start()
        try:
            yield
        finally:
            stopped.set()
            renewer.join()
            self._release()

    def check(self) -> None:
        """Raise ConflictError if another has taken it since: this process was stopped for too long."""
        if self._read().get("owner") != self.owner:
            raise ConflictError("another backup began meanwhile, since this one stopped for too long")

    def _claim(self) -> None:
        if self._create():
            return
        ends_at = self._read().get("expires_at")
        left_s = ends_at - self.clock() if isinstance(ends_at, int | float) else 0.0
        # One that ends much later was written by a clock that was wrong.
        if 0 < left_s <= CLOCK_TOLERANCE * LEASE_S:
            raise BackupUnderWayError(self.path)
        self._delete()
        if not self._create():
            raise BackupUnderWayError(self.path)

    def _renew(self, stopped: threading.Event) -> None:
        while not stopped.wait(RENEW_S):
            with suppress(RagError):  # `check` tells, and the next round tries again
                self.check()
                self._write("overwrite")

    def _release(self) -> None:
        with suppress(RagError):  # it ends by itself
            self.check()
            self._delete()

    def _create(self) -> bool:
        try:
            self._write("create")
        except FileExistsError:
            return False
        return True

    def _write(self, mode: str) -> None:
        body = {"owner": self.owner, "expires_at": self.clock() + LEASE_S}
        with place_errors():
            self.files.pipe_file(self.path, json.dumps(body).encode(), mode=mode)

    def _read(self) -> dict[str, Any]:
        """Empty if it is gone, or broken: its owner, or the disk, ended while it was written."""
        for pause_s in WRITE_PAUSES_S:
            try:
                with place_errors():
                    content = self.files.cat_file(self.path)
                body = json.loads(content)
            except FileNotFoundError:
                break
            except ValueError:
                time.sleep(pause_s)
            else:
                return body if isinstance(body, dict) else {}
        return {}

    def _delete(self) -> None:
        with suppress(FileNotFoundError), place_errors():
            self.files.rm_file(self.path)
