"""A full disk has no room for the log of a delete, so some is kept for it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.corpus import reserve as module
from models.corpus.corpus import Corpus
from models.corpus.reserve import MAX_SHARE, NEARLY_FULL_BYTES, RESERVE_BYTES, Reserve
from models.errors.storage import StorageFullError

MIB = 1024 * 1024


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A disk with as many bytes free as a test says."""
    state = SimpleNamespace(free=0)
    monkeypatch.setattr(module.os, "statvfs", lambda _: SimpleNamespace(f_bavail=state.free, f_frsize=1))
    return state


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_room_is_kept_on_a_disk_that_is_nearly_full_alone(tmp_path: Path, disk: SimpleNamespace) -> None:
    path = tmp_path / "corpus.db-reserve"
    sizes = []
    for disk.free in (NEARLY_FULL_BYTES, 0, 20 * MIB, 1_000 * MIB, 0):
        Reserve(path).keep()
        sizes.append(size(path))

    assert sizes == [0, 0, 20 * MIB // MAX_SHARE, RESERVE_BYTES, RESERVE_BYTES]  # it never shrinks by itself
    assert path.stat().st_mode & 0o777 == 0o600


def test_room_is_lent_while_the_disk_has_no_other_and_taken_back(tmp_path: Path, disk: SimpleNamespace) -> None:
    path, disk.free = tmp_path / "corpus.db-reserve", 1_000 * MIB
    reserve = Reserve(path)
    reserve.keep()

    with reserve.lent():
        assert size(path) == RESERVE_BYTES
    disk.free = 0
    with reserve.lent():
        assert size(path) == 0
        disk.free = 3 * MIB  # what the block left
    assert size(path) == 3 * MIB
    with suppress(ZeroDivisionError), reserve.lent():
        disk.free = 1_000 * MIB
        raise ZeroDivisionError
    assert size(path) == RESERVE_BYTES


def test_a_folder_that_cannot_be_written_stops_no_delete(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "gone" / "corpus.db-reserve")

    reserve.keep()
    with reserve.lent():
        pass


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB. Only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 16_384)
        except OSError:
            os.fsync(filler.fileno())


def test_a_delete_makes_room_on_a_disk_without_a_byte_left(full_disk: Path) -> None:
    corpus = Corpus.open(f"sqlite:///{full_disk}/corpus.db", full_disk / "files")
    ids = [corpus.files.add("default", f"{number}.txt", os.urandom(100_000)).file_id for number in range(10)]
    corpus.database.keep_reserve()
    fill(full_disk)

    with pytest.raises(StorageFullError):
        corpus.conversations.create("default", {"note": "x" * 500}, [])
    for file_id in ids:
        corpus.files.delete("default", file_id)
        fill(full_disk)  # others take the room at once
    (full_disk / "filler").unlink()
    corpus.close()

    reopened = Corpus.open(f"sqlite:///{full_disk}/corpus.db", full_disk / "files")
    assert reopened.files.blobs.digests() == set()
    reopened.files.add("default", "again.txt", b"again")
    reopened.close()
