"""The processes that keep other cores busy during a measurement."""

import psutil
import pytest

from serve.cli.capacity.neighbours import busy_neighbours


def test_neighbours_compute_until_the_block_ends() -> None:
    with busy_neighbours(1) as pids:
        (neighbour,) = (psutil.Process(pid) for pid in pids)
        before = sum(neighbour.cpu_times()[:2])
        while sum(neighbour.cpu_times()[:2]) <= before:
            assert neighbour.is_running()

    assert not psutil.pid_exists(pids[0])


def test_neighbours_end_when_the_block_raises() -> None:
    started_pids: list[int] = []

    def fail() -> None:
        with busy_neighbours(2) as pids:
            started_pids.extend(pids)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert len(started_pids) == 2
    assert not any(map(psutil.pid_exists, started_pids))
