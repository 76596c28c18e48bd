"""Work on the machine's other cores, so that a stage is timed as it runs on a full machine, which a plan is for.

Two hardware threads of one core share its units, and all cores share caches, memory and the clock's heat budget. On the
two virtual cores that ragserve was developed on, a forward pass takes 1.3 times as long beside a busy neighbour.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Ends by itself once whoever started it is gone.
SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"


@contextmanager
def busy_neighbours(count: int) -> Iterator[list[int]]:
    """So many processes that compute until the block ends; their pids."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            started.append(subprocess.Popen([sys.executable, "-S", "-c", SPIN], stdin=subprocess.DEVNULL))
        yield [one.pid for one in started]
    finally:
        for one in started:
            one.kill()
        for one in started:
            one.wait()
