"""Behaviour of TantivyIndex alone: snapshots, the writer, folders that are deleted with their process."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.errors.requests import ConflictError
from models.filters import Comparison
from models.index.private_folder import sweep
from models.index.tantivy_index import MAX_IN_MEMORY, TantivyIndex
from tests.patience import PATIENCE_S

NORTH = Comparison("eq", "place", "north")
NOT_NORTH = Comparison("ne", "place", "north")


@pytest.fixture
def index() -> TantivyIndex:
    index = TantivyIndex()
    index.add(np.array([1, 2, 3]), np.array([10, 20, 30]), ["ferry one", "ferry two", "museum"])
    index.set_attributes({10: {"place": "north", "year": 2020.5, "draft": True}})
    return index


def find_keys(index: TantivyIndex, query: str, where: Comparison | None = None) -> list[int]:
    return sorted(index.search(query, 10, where).ranking.keys.tolist())


def test_a_loaded_index_equals_the_saved_one(index: TantivyIndex, tmp_path: Path) -> None:
    index.remove(np.array([3]))
    index.save(tmp_path)

    loaded = TantivyIndex()
    loaded.load(tmp_path)

    assert len(loaded) == 2
    assert find_keys(loaded, "ferry", NORTH) == [1]
    assert find_keys(loaded, "ferry", NOT_NORTH) == [2]
    before, after = index.search("ferry two", 5), loaded.search("ferry two", 5)
    assert after.term_weights == before.term_weights
    assert after.ranking.scores == pytest.approx(before.ranking.scores)


def test_writes_after_saving_change_neither_the_snapshot_nor_its_copies(index: TantivyIndex, tmp_path: Path) -> None:
    index.save(tmp_path)
    loaded, again = TantivyIndex(), TantivyIndex()
    loaded.load(tmp_path)

    index.add(np.array([4]), np.array([10]), ["ferry four"])
    loaded.remove(np.array([1]))
    loaded.add(np.array([5]), np.array([40]), ["ferry five"])
    loaded.set_attributes({40: {"place": "north"}})
    again.load(tmp_path)

    assert find_keys(index, "ferry") == [1, 2, 4]
    assert find_keys(loaded, "ferry") == [2, 5]
    assert find_keys(loaded, "ferry", NORTH) == [5]
    assert find_keys(again, "ferry") == [1, 2]


def test_an_empty_index_can_be_saved(tmp_path: Path) -> None:
    TantivyIndex().save(tmp_path)
    loaded = TantivyIndex()

    loaded.load(tmp_path)

    assert len(loaded) == 0


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign", "newer", "no folder"])
def test_an_incomplete_snapshot_is_refused(index: TantivyIndex, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    index.save(folder)
    spoil(folder, damage)

    with pytest.raises(ConflictError, match="snapshot"):
        TantivyIndex().load(folder)


def spoil(folder: Path, damage: str) -> None:
    largest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    state = folder / "index.json"
    if damage == "missing":
        largest.unlink()
    elif damage == "cut":
        largest.write_bytes(largest.read_bytes()[:-1])
    elif damage == "foreign":
        state.write_text(json.dumps(json.loads(state.read_text()) | {"kind": {"index": "other"}}))
    elif damage == "newer":
        state.write_text(json.dumps(json.loads(state.read_text()) | {"format": 999}))
    else:
        folder.rename(folder.with_name("elsewhere"))


def test_only_an_empty_index_loads_a_snapshot(index: TantivyIndex, tmp_path: Path) -> None:
    index.save(tmp_path)

    with pytest.raises(ConflictError, match="empty"):
        index.load(tmp_path)


def test_small_indexes_need_no_thread_and_no_folder_after_a_search() -> None:
    before = num_threads()

    indexes = [TantivyIndex() for _ in range(20)]
    for index in indexes:
        index.add(np.array([1]), np.array([1]), ["ferry"])
        assert find_keys(index, "ferry") == [1]

    wait_until(lambda: num_threads() <= before)
    assert {index._folder for index in indexes} == {None}


def num_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def wait_until(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Wait for threads to end, which takes a moment after their release."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_an_index_moves_to_a_folder_as_it_grows(index: TantivyIndex) -> None:
    index.remove(np.array([2]))
    many = np.arange(100, 100 + MAX_IN_MEMORY)

    index.add(many[:-2], many[:-2], ["tickets"] * (MAX_IN_MEMORY - 2))
    assert index._folder is None
    index.add(many[-2:], many[-2:], ["ferry tickets"] * 2)

    assert index._folder is not None
    assert len(index) == MAX_IN_MEMORY + 2
    assert find_keys(index, "ferry") == [1, *many[-2:]]
    assert find_keys(index, "ferry", NORTH) == [1]


def test_an_index_leaves_no_folder_behind(tmp_path: Path) -> None:
    index = TantivyIndex()
    index.save(tmp_path)
    folder = index._folder
    assert folder is not None
    assert folder.is_dir()

    del index
    gc.collect()

    assert not folder.exists()


def test_only_folders_of_killed_processes_are_swept(tmp_path: Path) -> None:
    code = (
        "import sys; from models.index.private_folder import private_folder; "
        "print(private_folder(sys.modules['__main__']), flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        sweep(tmp_path)
        assert folder.is_dir()

        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE_S)
        assert folder.is_dir()
        sweep(tmp_path)

    assert list(tmp_path.iterdir()) == []
