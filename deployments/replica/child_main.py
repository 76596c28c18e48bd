"""The program of a child process: `python -m deployments.replica.child_main MEMORY_BYTES CPU_S`.

Messages in and out are pickles, each after its length in 8 bytes. The first message is (make, arguments); `make`
returns a function. Each later message has the arguments of one call of it. The answer is ("result", value),
("error", exception) or ("memory", None), after which the process ends.
"""

import contextlib
import ctypes
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

LENGTH = struct.Struct(">Q")
# Questions go first. A core that another process wants too is then shared one to three.
NICENESS = 5
PR_SET_PDEATHSIG = 1


def main(memory_bytes: int, cpu_s: int) -> None:
    """Work until standard input closes."""
    _die_with_the_parent()
    _be_the_first_to_die()
    os.nice(NICENESS)
    messages, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    work: Callable[..., Any] | None = None
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    while (message := _read(messages)) is not None:
        _limit_cpu(cpu_s)
        try:
            if work is None:
                make, arguments = pickle.loads(message)
                work, answer = make(*arguments), ("result", None)
            else:
                answer = ("result", work(*pickle.loads(message)))
            content = pickle.dumps(answer)
        except MemoryError:
            _write(answers, pickle.dumps(("memory", None)))
            return
        except Exception as error:  # noqa: BLE001, the parent raises it
            content = pickle.dumps(("error", error))
        _write(answers, content)


def _die_with_the_parent() -> None:
    """End when the parent is killed: a busy child would not notice that its standard input closed."""
    with contextlib.suppress(OSError, AttributeError):  # not on Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_the_first_to_die() -> None:
    """If the machine's memory runs out in spite of the limit, the kernel kills this process first."""
    with contextlib.suppress(OSError):  # not on Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_cpu(cpu_s: int) -> None:
    """Each message gets `cpu_s` seconds of CPU time; past them the kernel sends SIGXCPU, which ends this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + 1 + cpu_s, hard_limit))


def _read(stream: BinaryIO) -> bytes | None:
    """The next message; None at the end."""
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


def _write(stream: BinaryIO, content: bytes) -> None:
    stream.write(LENGTH.pack(len(content)) + content)
    stream.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
