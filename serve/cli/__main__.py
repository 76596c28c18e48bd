"""`ragserve`, which is `python -m serve.cli`. A signal while it imports its commands ends it without a traceback."""

import os
import signal
from types import FrameType


def _end(number: int, _: FrameType | None) -> None:
    """End by the signal, as without a handler. The first process of a container ignores such a signal, and exits."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


_before = {number: signal.signal(number, _end) for number in (signal.SIGINT, signal.SIGTERM)}

from serve.cli.main import main as run_command  # noqa: E402


def main() -> None:
    """Run a command, which may have signals of its own."""
    for number, handler in _before.items():
        signal.signal(number, handler)
    run_command()


if __name__ == "__main__":
    main()
