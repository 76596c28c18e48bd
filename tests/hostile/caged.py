"""Run a program with limits of CPU time and memory: an old fault takes hours, or all of the machine's memory."""

import json
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_MEMORY_BYTES = 2 * 2**30


def outcomes_of(program: str, max_cpu_s: int, memory: int = resource.RLIMIT_AS) -> dict[str, int | str]:
    """The outcome of each kind, which the program prints as JSON pairs. `memory`: the resource with the limit."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (max_cpu_s, max_cpu_s))
        resource.setrlimit(memory, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))

    child = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stdout[-300:] + child.stderr[-2_000:]
    return dict(json.loads(line) for line in child.stdout.splitlines())
