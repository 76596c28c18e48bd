"""A function in a child process with limits of memory and time: a hostile input can break only the child."""

import asyncio
import contextlib
import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from deployments.replica.child_main import LENGTH

Limit = Literal["memory", "cpu_time", "wall_time", "killed", "crash"]
# One arena of malloc: each further one reserves 64 MiB, which would count against the limit.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class ChildLimits:
    """Limits of one call. `memory_bytes` is private writable memory (RLIMIT_DATA), the interpreter's included.

    `wall_s` ends a call that waits without computing. On a busy machine a call needs more wall time than CPU time.
    """

    memory_bytes: int
    cpu_s: int
    wall_s: float


class ChildFailedError(Exception):
    """The call broke a limit, crashed its process, or its process was killed; a new process takes the next call."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


class ChildProcess:
    """Calls `make(*arguments)` once in a child process, then the function that it returns, one call at a time.

    The process starts with the first call, and again after one that failed or was cancelled: cancelling kills it.
    """

    def __init__(self, limits: ChildLimits, make: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        self._limits = limits
        self._first_message = pickle.dumps((make, arguments))
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def call(self, *arguments: Any) -> Any:
        """The function's result. Raises what it raises, or ChildFailedError."""
        return await self._limited(self._call, pickle.dumps(arguments))

    async def start(self) -> None:
        """Start the process now if it does not run. Raises ChildFailedError."""
        await self._limited(self._started)

    async def _limited(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The result of `work`, which has the process to itself. If it fails, the process ends."""
        async with self._turn:
            timer = asyncio.timeout(self._limits.wall_s)
            try:
                async with timer:
                    return await work(*arguments)
            except (ChildFailedError, TimeoutError, asyncio.CancelledError):
                await self._end()
                if timer.expired():
                    raise ChildFailedError("wall_time") from None
                raise

    async def _call(self, message: bytes) -> Any:
        return await self._exchange(await self._started(), message)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._process = await self._start()
            await self._exchange(self._process, self._first_message)
        return self._process

    async def close(self) -> None:
        """End the process once the call under way has ended."""
        async with self._turn:
            await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "deployments.replica.child_main"]
        return await asyncio.create_subprocess_exec(
            *command,
            str(self._limits.memory_bytes),
            str(self._limits.cpu_s),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    async def _exchange(self, process: asyncio.subprocess.Process, message: bytes) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(LENGTH.pack(len(message)) + message)
            await process.stdin.drain()
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            outcome, value = pickle.loads(await process.stdout.readexactly(length))
        except (OSError, asyncio.IncompleteReadError):
            raise ChildFailedError(_limit_of(await process.wait())) from None
        if outcome == "memory":
            raise ChildFailedError("memory")
        if outcome == "error":
            raise value
        return value

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


def _limit_of(exit_status: int) -> Limit:
    """Which limit ended the process. C++ libraries abort when memory runs out. Only others send SIGKILL."""
    limits: dict[int, Limit] = {
        -signal.SIGXCPU: "cpu_time",
        -signal.SIGABRT: "memory",
        -signal.SIGTRAP: "memory",
        -signal.SIGKILL: "killed",
    }
    return limits.get(exit_status, "crash")
