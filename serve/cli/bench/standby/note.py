"""A document that a service stores, and is asked for."""

import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from serve.cli.remote import RemoteError, RemoteService

PATIENCE_S, PAUSE_S = 600.0, 0.05
ANSWER_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Note:
    """A document that can be asked for."""

    folder: Path
    name: str

    @property
    def text(self) -> str:
        return (
            f"The note {self.name} the accident says that the keeper of lighthouse {self.name} winds the clock at dusk."
        )

    def store(self, url: str) -> None:
        """Upload it, and wait until it is indexed. Tried again until the service takes it."""
        path, end = self.folder / f"{self.name}.txt", time.monotonic() + PATIENCE_S
        path.write_text(self.text)
        with RemoteService(url) as remote:
            while True:
                try:
                    remote.ingest(path, path.name, "default")
                    return
                except RemoteError:
                    if time.monotonic() > end:
                        raise
                time.sleep(PAUSE_S)

    def wait_until_it_comes_back(self, url: str) -> None:
        """Ask for it until it is among the passages. Raises RemoteError."""
        end = time.monotonic() + PATIENCE_S
        while not self._is_in_an_answer(url):
            if time.monotonic() > end:
                raise RemoteError(f"{url} does not find the note {self.name} within {PATIENCE_S:g} s")
            time.sleep(PAUSE_S)

    def _is_in_an_answer(self, url: str) -> bool:
        try:
            response = httpx.post(
                f"{url}/v1/query", json={"query": self.text}, timeout=ANSWER_TIMEOUT_S, trust_env=False
            )
        except httpx.HTTPError:
            return False
        passages = response.json()["passages"] if response.status_code == httpx.codes.OK else []
        return any(self.text in passage["text"] for passage in passages)
