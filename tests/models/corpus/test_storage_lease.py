"""The lease of a place of backups: a broken one blocks nobody, and one that is being written belongs to its owner."""

from typing import Any
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from models.corpus.backup import storage_lease
from models.corpus.backup.manifest import BackupUnderWayError
from models.corpus.backup.storage_lease import StorageLease


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_lease, "WRITE_PAUSES_S", (0.0, 0.0))


@pytest.fixture
def path() -> str:
    return f"/{uuid4().hex}"


@pytest.mark.parametrize(
    "content",
    [b"", b'{"owner": "dead", "expi', b"\xff\xfe", b"[]", b"{}", b'{"expires_at": null}', b'{"expires_at": "soon"}'],
)
def test_a_broken_lease_blocks_no_backup(path: str, content: bytes) -> None:
    """Such as one of a process that was killed, or whose disk was full, while it was written."""
    MemoryFileSystem().pipe_file(path, content)
    lease = StorageLease(MemoryFileSystem(), path)

    with lease.taken():
        lease.check()


class Truncating(MemoryFileSystem):
    """A place where the first reader sees a file whose writer has just begun, as in a folder."""

    cachable = False
    num_reads = 0

    def cat_file(self, path: str, **options: Any) -> bytes:
        self.num_reads += 1
        content: bytes = super().cat_file(path, **options)
        return content if self.num_reads > 1 else b""


def test_a_lease_that_its_owner_is_renewing_is_not_taken_over(path: str) -> None:
    owner = StorageLease(MemoryFileSystem(), path)
    with owner.taken():
        with pytest.raises(BackupUnderWayError), StorageLease(Truncating(), path).taken():
            pass
        owner.check()
