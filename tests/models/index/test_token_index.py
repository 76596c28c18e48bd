"""Blobs on disk by chunk key: as a dictionary would have them, after any changes, snapshots and failures."""

import gc
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors.requests import ConflictError
from models.index import token_index
from models.index.private_folder import PREFIX, sweep
from models.index.token_index import TokenIndex
from models.types.arrays import KeyArray
from tests.patience import PATIENCE_S

FILE_LIMIT_BYTES = 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def index(folder: Path) -> TokenIndex:
    return TokenIndex(folder)


def keys(*values: int) -> KeyArray:
    return np.array(values, np.int64)


def blob_of(key: int) -> bytes:
    """Make 0 to 96 bytes that name the key."""
    return f"<{key}>".encode() * (key % 20) if key % 7 else b""


def add(index: TokenIndex, *values: int) -> None:
    index.add(keys(*values), [blob_of(key) for key in values])


def contents(index: TokenIndex, *values: int) -> dict[int, bytes]:
    blobs = index.get(keys(*values))
    return {key: bytes(blob) for key, blob in zip(values, blobs, strict=True) if blob is not None}


def saved(index: TokenIndex, folder: Path) -> Path:
    folder.mkdir()
    index.save(folder)
    return folder


def loaded(parent: Path, snapshot: Path) -> TokenIndex:
    index = TokenIndex(parent)
    index.load(snapshot)
    return index


def files_of(index: TokenIndex) -> list[Path]:
    return [segment.path for segment in index._segments.values()]


def test_keys_get_their_blobs_in_the_requested_order(index: TokenIndex) -> None:
    add(index, 5, 3, 9)

    blobs = index.get(keys(9, 4, 3, 5))

    assert [None if blob is None else bytes(blob) for blob in blobs] == [blob_of(9), None, blob_of(3), blob_of(5)]
    assert len(index) == 3
    assert index.get(keys()) == []


def test_an_empty_index_has_no_folder_and_no_blobs(index: TokenIndex, folder: Path) -> None:
    index.remove(keys(1))
    index.add(keys(), [])

    assert index.get(keys(1)) == [None]
    assert not folder.exists()


def test_blobs_are_views_of_the_file_that_outlive_the_index(index: TokenIndex) -> None:
    add(index, 1)
    (blob,) = index.get(keys(1))
    assert blob is not None
    path = files_of(index)[0]

    add(index, *range(2, 500))
    index.remove(keys(1, *range(2, 500)))
    del index
    gc.collect()

    assert blob.readonly
    assert bytes(blob) == blob_of(1)
    assert not path.exists()


def test_a_wrong_number_of_blobs_is_refused(index: TokenIndex) -> None:
    with pytest.raises(ConflictError, match="2 keys and 1 codes"):
        index.add(keys(1, 2), [b"one"])


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sets(st.integers(0, 60), min_size=1, max_size=12)),
        st.tuples(st.just("remove"), st.sets(st.integers(0, 60), max_size=20)),
        st.tuples(st.just("reload"), st.just(frozenset[int]())),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_any_changes_leave_what_a_dictionary_has(changes: list[tuple[str, set[int]]]) -> None:
    with TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_index, "SEGMENT_BYTES", 300)
        parent, expected = Path(temporary), dict[int, bytes]()
        index = TokenIndex(parent)
        for number, (change, values) in enumerate(changes):
            if change == "add":
                index.remove(keys(*values))
                add(index, *values)
                expected |= {key: blob_of(key) for key in values}
            elif change == "remove":
                index.remove(keys(*values))
                expected = {key: blob for key, blob in expected.items() if key not in values}
            else:
                index = loaded(parent, saved(index, parent / f"snapshot {number}"))

            assert contents(index, *range(61)) == expected
            assert len(index) == len(expected)
            num_alive = sum(map(len, expected.values()))
            assert num_alive <= index.size_bytes <= max(2 * num_alive, 0)


def test_a_file_that_is_mostly_dead_is_rewritten(index: TokenIndex) -> None:
    add(index, *range(1, 101))
    (old_file,) = files_of(index)

    index.remove(keys(*range(1, 90)))

    assert contents(index, *range(1, 101)) == {key: blob_of(key) for key in range(90, 101)}
    assert not old_file.exists()
    assert index.size_bytes == sum(len(blob_of(key)) for key in range(90, 101))


def test_a_snapshot_shares_its_files_and_does_not_see_later_changes(index: TokenIndex, folder: Path) -> None:
    add(index, 1, 2)
    snapshot = saved(index, folder / "snapshot")
    (file,) = files_of(index)
    assert (snapshot / file.name).samefile(file)

    add(index, 3)
    index.remove(keys(2))

    assert contents(loaded(folder, snapshot), 1, 2, 3) == {1: blob_of(1), 2: blob_of(2)}


def test_indexes_that_loaded_the_same_snapshot_do_not_disturb_each_other(index: TokenIndex, folder: Path) -> None:
    add(index, 1, 2)
    snapshot = saved(index, folder / "snapshot")
    one, two = loaded(folder, snapshot), loaded(folder, snapshot)

    one.add(keys(10), [b"of one"])
    two.add(keys(10), [b"of two"])
    one.remove(keys(1, 2))

    assert contents(one, 1, 2, 10) == {10: b"of one"}
    assert contents(two, 1, 2, 10) == {1: blob_of(1), 2: blob_of(2), 10: b"of two"}
    assert contents(index, 1, 2, 10) == {1: blob_of(1), 2: blob_of(2)}


def test_a_snapshot_survives_its_writer(index: TokenIndex, folder: Path) -> None:
    add(index, 1, 2)
    snapshot = saved(index, folder / "snapshot")

    del index
    gc.collect()

    assert contents(loaded(folder, snapshot), 1, 2) == {1: blob_of(1), 2: blob_of(2)}


def test_a_torn_or_missing_file_is_refused(index: TokenIndex, folder: Path) -> None:
    add(index, 1, 2, 3)
    snapshot = saved(index, folder / "snapshot")
    (file,) = snapshot.glob("*.tokens")
    rows = snapshot / "rows.npz"
    content, rows_content = file.read_bytes(), rows.read_bytes()

    for path, torn in ((file, content[:-1]), (rows, rows_content[:-1]), (rows, rows_content[: len(rows_content) // 2])):
        whole = path.read_bytes()
        path.write_bytes(torn)
        with pytest.raises(ConflictError):
            loaded(folder, snapshot)
        path.write_bytes(whole)
    file.unlink()

    with pytest.raises(ConflictError, match="no complete snapshot"):
        loaded(folder, snapshot)


def test_after_the_machine_restarted_every_byte_is_checked(
    index: TokenIndex, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(index, 1, 2, 3)
    snapshot = saved(index, folder / "snapshot")
    (file,) = snapshot.glob("*.tokens")
    content = file.read_bytes()
    next_boot = tmp_path / "boot_id"
    next_boot.write_text("another boot")
    monkeypatch.setattr(token_index, "BOOT_ID", next_boot)
    assert contents(loaded(folder, snapshot), 1, 2, 3) == {key: blob_of(key) for key in (1, 2, 3)}

    file.write_bytes(bytes(len(content)))  # as a power cut leaves blocks that were never written

    with pytest.raises(ConflictError, match="damaged"):
        loaded(folder, snapshot)


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit the size of files, as a stand-in for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_adds_nothing_and_the_next_write_replaces_the_torn_end(index: TokenIndex) -> None:
    index.add(keys(1), [b"a" * 60_000])

    with full_disk(), pytest.raises(OSError, match="too large"):
        index.add(keys(2), [b"b" * 60_000])
    index.add(keys(3), [b"c" * 50_000])

    assert contents(index, 1, 2, 3) == {1: b"a" * 60_000, 3: b"c" * 50_000}
    assert index.size_bytes == 110_000


def test_a_killed_process_leaves_a_folder_that_the_next_one_sweeps(tmp_path: Path) -> None:
    code = (
        "import sys, numpy; from pathlib import Path; from models.index.token_index import TokenIndex; "
        "index = TokenIndex(Path(sys.argv[1])); index.add(numpy.array([1]), [b'one']); "
        "print('added', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.getcwd()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"added\n"
        sweep(tmp_path)
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1

        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE_S)
        sweep(tmp_path)

    assert list(tmp_path.iterdir()) == []
