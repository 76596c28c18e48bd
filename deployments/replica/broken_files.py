"""Files that broke a limit of their child process, so that a second request for the same job is not tried again."""

from cachetools import TTLCache

REMEMBERED_S = 3600.0
MAX_REMEMBERED = 10_000

Key = tuple[str, int]  # the request, such as job-7, and the size of its file


class BrokenFiles:
    """Why files failed, as (detail, cause).

    On a busy machine the caller of a hostile file may be gone before the file breaks its limit. Its job is tried again,
    and would break the limit again.
    """

    def __init__(self) -> None:
        self._failures: TTLCache[Key, tuple[str, str]] = TTLCache(MAX_REMEMBERED, REMEMBERED_S)

    def add(self, request_id: str, content: bytes, detail: str, cause: str) -> None:
        self._failures[request_id, len(content)] = (detail, cause)

    def failure(self, request_id: str, content: bytes) -> tuple[str, str] | None:
        """Why the file of this request failed before; None if it did not."""
        failure: tuple[str, str] | None = self._failures.get((request_id, len(content)))
        return failure
