"""What Ctrl-C and SIGTERM do to `ragserve up`. Each test has a process of its own, which sends them to itself."""

import signal
import subprocess
import sys

import pytest

from serve.cli.up.stop_signals import INTERRUPTED
from tests.conftest import ROOT

BEGIN = """
import signal, sys
from contextlib import suppress
from rich.console import Console
from serve.cli.up.stop_signals import stop_signals

SIGINT, SIGTERM, raised = signal.SIGINT, signal.SIGTERM, signal.raise_signal
def ray_handler(number, _):
    sys.exit(number)
"""
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


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def run_under_signals(block: str) -> tuple[str, int]:
    """What a process prints that does this under `stop_signals`, and the exit status that it would have."""
    lines = [f"        {line}" for line in block.strip().splitlines()]
    program = [
        BEGIN,
        "import typer",
        "try:",
        "    with stop_signals(Console()) as signals:",
        *lines,
        "except typer.Exit as stop:",
        "    sys.exit(stop.exit_code)",
    ]
    ended = run("\n".join(program))
    assert ended.stderr == ""
    return ended.stdout, ended.returncode


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_block_with_one_line_and_the_next_signals_do_nothing(number: str) -> None:
    printed, _ = run_under_signals(f"""
try:
    with signals.interruptible():
        raised({number})
        print("not interrupted")
finally:
    raised(SIGINT)
    raised(SIGTERM)
    print("in order")
""")

    assert printed == "stopping\nin order\n"


def test_a_signal_before_the_block_ends_it_at_once() -> None:
    printed, _ = run_under_signals("""
raised(SIGINT)
print("outside")
with signals.interruptible():
    print("inside")
""")

    assert printed == "outside\nstopping\n"


def test_a_signal_that_a_library_kept_to_itself_ends_the_next_sleep() -> None:
    printed, _ = run_under_signals("""
with signals.interruptible():
    with suppress(KeyboardInterrupt):
        raised(SIGINT)
    signals.sleep(0)
    print("slept")
""")

    assert printed == "stopping\n"


@pytest.mark.parametrize(
    ("number", "before", "status"),
    [
        ("SIGINT", "pass", INTERRUPTED),
        ("SIGINT", "signals.serves()", 0),
        ("SIGTERM", "pass", 0),
        ("SIGTERM", "signals.serves()", 0),
    ],
)
def test_the_exit_status_tells_a_start_that_was_interrupted(number: str, before: str, status: int) -> None:
    assert run_under_signals(f"""
with signals.interruptible():
    {before}
    raised({number})
""") == ("stopping\n", status)


def test_the_handler_that_ray_sets_is_a_stop_too_and_does_not_stay() -> None:
    assert run_under_signals("""
with signals.interruptible():
    signal.signal(SIGTERM, ray_handler)
print(signal.getsignal(SIGTERM) is ray_handler)
with signals.interruptible():
    signal.signal(SIGTERM, ray_handler)
    raised(SIGTERM)
""") == ("False\nstopping\n", 0)


def test_an_error_stays_an_error() -> None:
    assert run_under_signals("""
with signals.interruptible():
    sys.exit(3)
""") == ("", 3)


def test_ctrl_c_while_the_commands_are_imported_ends_without_a_traceback() -> None:
    ended = run(INTERRUPTED_IMPORT)

    assert ended.returncode == -signal.SIGINT
    assert ended.stderr == ""
