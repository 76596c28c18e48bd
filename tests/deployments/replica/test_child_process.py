"""A child process with limits: real processes, real limits."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest
import uvloop

from deployments.replica import child_process
from deployments.replica.child_process import ChildFailedError, ChildLimits, ChildProcess, ChildStartError
from tests.patience import PATIENCE_S

LIMITS = ChildLimits(memory_bytes=512 * 1024**2, cpu_s=1, wall_s=30)
PARENT = """
import asyncio
from tests.deployments.replica.test_child_process import LIMITS, make
from deployments.replica.child_process import ChildProcess

async def main():
    child = ChildProcess(LIMITS, make, "tide")
    print(await child.call("pid"), flush=True)
    await child.call("sleep")

asyncio.run(main())
"""


def make(word: str) -> Callable[[str], object]:
    """The function that the child calls for each message."""

    def work(command: str) -> object:
        if command == "memory":
            return len(bytearray(2 * 1024**3))
        if command == "cpu":
            while True:
                pass
        if command == "crash":
            return ctypes.string_at(0)
        if command == "print":
            os.write(1, b"a library's own words")
        if command == "sleep":
            signal.pause()
        if command == "close":
            os.closerange(0, 100)
            signal.pause()
        if command == "error":
            raise ValueError(word)
        return os.getpid() if command == "pid" else word

    return work


@pytest.mark.parametrize(("command", "limit"), [("memory", "memory"), ("cpu", "cpu_time"), ("crash", "crash")])
async def test_a_call_that_breaks_a_limit_fails_alone(command: str, limit: str) -> None:
    child = ChildProcess(LIMITS, make, "tide")

    with pytest.raises(ChildFailedError) as failure:
        await child.call(command)
    answer = await child.call("word")
    await child.close()

    assert failure.value.limit == limit
    assert answer == "tide"


async def test_a_call_that_waits_for_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    child = ChildProcess(LIMITS, make, "tide")
    process = psutil.Process(await child.call("pid"))  # on a busy machine its start takes seconds

    monkeypatch.setattr(child, "_limits", replace(LIMITS, wall_s=0.5))
    with pytest.raises(ChildFailedError) as failure:
        await child.call("sleep")

    assert failure.value.limit == "wall_time"
    assert not process.is_running()
    await child.close()


async def test_an_error_of_the_function_is_raised_and_its_process_goes_on() -> None:
    child = ChildProcess(LIMITS, make, "tide")
    pid = await child.call("pid")

    with pytest.raises(ValueError, match="tide"):
        await child.call("error")

    assert await child.call("pid") == pid
    await child.close()


async def test_what_is_printed_in_the_child_does_not_get_between_the_answers() -> None:
    child = ChildProcess(LIMITS, make, "tide")

    assert await child.call("print") == "tide"
    await child.close()


async def test_cancelling_a_call_ends_its_process() -> None:
    child = ChildProcess(LIMITS, make, "tide")
    process = psutil.Process(await child.call("pid"))
    call = asyncio.create_task(child.call("sleep"))
    await asyncio.sleep(0)

    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    assert not process.is_running()
    assert await child.call("pid") != process.pid
    await child.close()


def test_a_busy_child_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))

    parent.kill()
    parent.wait()
    parent.stdout.close()

    _, alive = psutil.wait_procs([child], timeout=PATIENCE_S)
    assert not alive


def make_nothing() -> Callable[[str], object]:
    """A function that cannot be made, as with a broken installation."""
    raise ImportError("no such library")


async def kill_idle(child: ChildProcess) -> int:
    """Kill the idle process and let the event loop notice. Returns the process's id."""
    process = psutil.Process(await child.call("pid"))
    process.kill()
    while process.is_running():  # noqa: ASYNC110, until the event loop has read its exit status
        await asyncio.sleep(0.001)
    return process.pid


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_process_that_ended_while_idle_is_replaced(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        child = ChildProcess(LIMITS, make, "tide")
        killed_pid = await kill_idle(child)

        assert await child.call("word") == "tide"
        assert await child.call("pid") != killed_pid
        await child.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_process_whose_end_the_event_loop_has_not_noticed_is_replaced(number: int) -> None:
    child = ChildProcess(LIMITS, make, "tide")
    pid = await child.call("pid")
    assert isinstance(pid, int)

    os.kill(pid, number)
    with contextlib.suppress(ChildProcessError):  # asyncio's own thread was faster
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222, the event loop must not notice

    assert await child.call("word") == "tide"
    await child.close()


async def test_a_process_that_closed_its_pipe_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "EXIT_S", 0.1)
    child = ChildProcess(LIMITS, make, "tide")
    pid = await child.call("pid")

    with pytest.raises(ChildFailedError, match="killed"):
        await child.call("close")

    assert await child.call("pid") != pid
    await child.close()


async def test_a_function_that_cannot_be_made_is_a_start_error_each_time() -> None:
    child = ChildProcess(LIMITS, make_nothing)

    for _ in range(2):
        with pytest.raises(ChildStartError, match="no child process starts: ImportError"):
            await child.call("word")

    await child.close()


async def test_a_process_that_the_machine_refuses_is_a_start_error(monkeypatch: pytest.MonkeyPatch) -> None:
    child = ChildProcess(LIMITS, make, "tide")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(ChildStartError, match="No such file"):
        await child.call("word")
    monkeypatch.undo()

    assert await child.call("word") == "tide"
    await child.close()
