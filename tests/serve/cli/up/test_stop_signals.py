"""What Ctrl-C and SIGTERM do to `ragserve up`, sent by this process to itself."""

import io
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import typer
from rich.console import Console

from serve.cli.up.stop_signals import INTERRUPTED, StopSignals, stop_signals
from tests.conftest import ROOT

# Raises SIGINT while `ragserve` imports its commands.
INTERRUPTED_IMPORT = """
import runpy, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "serve.cli.main":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
runpy.run_module("serve.cli", run_name="__main__")
"""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """pytest's own handlers come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(printed: io.StringIO) -> Console:
    return Console(file=printed)


def exit_status(console: Console, use: Callable[[StopSignals], None]) -> int:
    """Of a process that does this, and that a signal stops meanwhile."""
    with pytest.raises(typer.Exit) as stop, stop_signals(console) as signals:
        use(signals)
    return stop.value.exit_code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_block_with_one_line_and_the_next_signals_do_nothing(
    number: signal.Signals, console: Console, printed: io.StringIO
) -> None:
    ended: list[str] = []

    def use(signals: StopSignals) -> None:
        try:
            with signals.interruptible():
                signal.raise_signal(number)
                ended.append("not interrupted")
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            ended.append("in order")

    exit_status(console, use)

    assert ended == ["in order"]
    assert printed.getvalue() == "stopping\n"


def test_a_signal_before_the_block_ends_it_at_once(console: Console) -> None:
    entered: list[str] = []

    def use(signals: StopSignals) -> None:
        signal.raise_signal(signal.SIGINT)
        entered.append("outside")
        with signals.interruptible():
            entered.append("inside")

    exit_status(console, use)

    assert entered == ["outside"]


def test_a_signal_that_a_library_kept_to_itself_ends_the_next_sleep(console: Console) -> None:
    num_sleeps: list[int] = []

    def use(signals: StopSignals) -> None:
        with signals.interruptible():
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            signals.sleep(0)
            num_sleeps.append(1)

    exit_status(console, use)

    assert not num_sleeps


@pytest.mark.parametrize(
    ("number", "is_serving", "status"),
    [
        (signal.SIGINT, False, INTERRUPTED),
        (signal.SIGINT, True, 0),
        (signal.SIGTERM, False, 0),
        (signal.SIGTERM, True, 0),
    ],
)
def test_the_exit_status_tells_a_start_that_was_interrupted(
    number: signal.Signals, is_serving: bool, status: int, console: Console
) -> None:
    def use(signals: StopSignals) -> None:
        with signals.interruptible():
            if is_serving:
                signals.serves()
            signal.raise_signal(number)

    assert exit_status(console, use) == status


def test_the_handler_that_ray_sets_is_a_stop_too_and_does_not_stay(console: Console, printed: io.StringIO) -> None:
    left: list[object] = []

    def ray_handler(number: int, _: object) -> None:
        sys.exit(number)

    def use(signals: StopSignals) -> None:
        with signals.interruptible():
            signal.signal(signal.SIGTERM, ray_handler)
        left.append(signal.getsignal(signal.SIGTERM))
        with signals.interruptible():
            signal.signal(signal.SIGTERM, ray_handler)
            signal.raise_signal(signal.SIGTERM)

    assert exit_status(console, use) == 0
    assert left != [ray_handler]
    assert printed.getvalue() == "stopping\n"


def test_an_error_stays_an_error(console: Console, printed: io.StringIO) -> None:
    with pytest.raises(SystemExit) as exit_, stop_signals(console) as signals, signals.interruptible():
        sys.exit(3)

    assert exit_.value.code == 3
    assert printed.getvalue() == ""


def test_ctrl_c_while_the_commands_are_imported_ends_without_a_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == -signal.SIGINT
    assert ended.stderr == ""
