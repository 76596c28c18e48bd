"""Processes that take the cores, as other work on the machine does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It ends by itself, even if this process is killed.
LOOP = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pass
"""


def num_cores() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def burning(num_processes: int, max_s: float) -> Iterator[list[int]]:
    """The ids of processes that compute until the block ends, or for `max_s`, at this process's niceness."""
    command = [sys.executable, "-c", LOOP, str(max_s)]
    processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(num_processes)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
