"""The processes that keep a machine busy while a stage is timed."""

import psutil
import pytest

from serve.cli.capacity.neighbours import busy_neighbours


def test_they_compute_until_the_block_ends() -> None:
    with busy_neighbours(1) as pids:
        (neighbour,) = (psutil.Process(pid) for pid in pids)
        before = sum(neighbour.cpu_times()[:2])
        while sum(neighbour.cpu_times()[:2]) <= before:
            assert neighbour.is_running()

    assert not psutil.pid_exists(pids[0])


def test_they_end_with_whatever_ended_the_block() -> None:
    found: list[int] = []

    def fail() -> None:
        with busy_neighbours(2) as pids:
            found.extend(pids)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert len(found) == 2
    assert not any(map(psutil.pid_exists, found))
