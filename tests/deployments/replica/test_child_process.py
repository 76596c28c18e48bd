"""A child process with limits: real processes, real limits."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from deployments.replica.child_process import ChildFailedError, ChildLimits, ChildProcess

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


async def test_a_call_that_waits_for_too_long_fails() -> None:
    child = ChildProcess(replace(LIMITS, wall_s=3), make, "tide")
    process = psutil.Process(await child.call("pid"))

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

    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive
