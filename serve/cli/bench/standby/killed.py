"""Processes that end at once, as in a power cut."""

import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

END_TIMEOUT_S, POLL_S = 60.0, 0.01


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL to all of them, and wait until they have ended."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    end = time.monotonic() + END_TIMEOUT_S
    while any(map(is_running, processes)) and time.monotonic() < end:
        time.sleep(POLL_S)


def is_running(process: psutil.Process) -> bool:
    """A zombie has ended: nobody may have asked for its exit code."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def tree_of(pid: int) -> list[psutil.Process]:
    """The process and all below it; none if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
