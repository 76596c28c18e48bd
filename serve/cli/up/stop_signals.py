"""Ctrl-C and SIGTERM end `ragserve up` at any moment of it, in order and with a status that fits."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer
from rich.console import Console

NUMBERS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 128 + signal.SIGINT  # as a shell calls it


class StopSignals:
    """What SIGINT and SIGTERM do to this process. Belongs to its main thread.

    Inside `interruptible` they raise KeyboardInterrupt. Elsewhere they are kept for the next such block, so that
    nothing is left half made. Once the stop has begun, they do nothing: it takes its time, and no second one is needed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._first: int | None = None
        self._is_interruptible = False
        self._is_serving = False

    def listen(self) -> None:
        for number in NUMBERS:
            signal.signal(number, self._receive)

    def ignore(self) -> None:
        for number in NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def serves(self) -> None:
        """From now on, Ctrl-C is the ordinary end."""
        self._is_serving = True

    @property
    def exit_status(self) -> int:
        """Of a stop: whoever sends SIGTERM gets what it asked for. Ctrl-C interrupts a start."""
        return 0 if self._is_serving or self._first == signal.SIGTERM else INTERRUPTED

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A signal ends the block with KeyboardInterrupt, and says so. Blocks are not nested."""
        self._is_interruptible = True
        try:
            self._check()
            yield
        except KeyboardInterrupt:
            self._begin_stop()
            raise
        except SystemExit as error:  # by the handler of SIGTERM that ray.init() sets
            if error.code != signal.SIGTERM:
                raise
            self._first = self._first or signal.SIGTERM
            self._begin_stop()
            raise KeyboardInterrupt from None
        else:
            self._is_interruptible = False
            self.listen()  # Ray may have set its own
        finally:
            self._is_interruptible = False

    def sleep(self, seconds: float) -> None:
        """Inside `interruptible`. Raises KeyboardInterrupt, also if a library kept the signal's to itself."""
        time.sleep(seconds)
        self._check()

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._first = self._first or number
        if self._is_interruptible:
            raise KeyboardInterrupt

    def _check(self) -> None:
        if self._first is not None:
            raise KeyboardInterrupt

    def _begin_stop(self) -> None:
        self._is_interruptible = False
        self.ignore()
        self._console.print("stopping")


@contextmanager
def stop_signals(console: Console) -> Iterator[StopSignals]:
    """For the rest of the process, which ends after the block. A stop becomes its exit status, by typer.Exit."""
    signals = StopSignals(console)
    signals.listen()
    try:
        yield signals
    except KeyboardInterrupt:
        raise typer.Exit(signals.exit_status) from None
    finally:
        signals.ignore()
