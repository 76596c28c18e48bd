"""Keep the other cores of this machine busy, because a plan is for a fully used machine.

Two hardware threads of a core share its execution units, and all cores share caches, memory bandwidth and the thermal
budget of the clock. On the two virtual cores where ragserve was developed, a forward pass takes 1.3 times as long
beside a busy neighbour.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Exits when its parent process has exited.
SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"


@contextmanager
def busy_neighbours(count: int) -> Iterator[list[int]]:
    """Run `count` processes that compute until the block ends; yields their pids."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen([sys.executable, "-S", "-c", SPIN], stdin=subprocess.DEVNULL))
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
