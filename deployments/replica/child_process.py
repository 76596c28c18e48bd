"""A function in a child process with limits of memory and time: a hostile input can break only the child."""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from deployments.replica.child_main import LENGTH

logger = logging.getLogger(__name__)
Limit = Literal["memory", "cpu_time", "wall_time", "killed", "crash"]
# One arena of malloc: each further one reserves 64 MiB, which would count against the limit.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
EXIT_S = 5.0  # a process that closed its pipe ends within this time, or it is killed


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


class ChildStartError(Exception):
    """No process starts, for this `cause`. It is not the fault of the call, which may be made again."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"no child process starts: {self.cause}"


class ChildProcess:
    """Calls `make(*arguments)` once in a child process, then the function that it returns, one call at a time.

    The process starts with the first call, and again after one that failed or was cancelled: cancelling kills it.
    A process that ended between two calls is replaced at the next one.
    """

    def __init__(self, limits: ChildLimits, make: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        self._limits = limits
        self._first_message = pickle.dumps((make, arguments))
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def call(self, *arguments: Any) -> Any:
        """The function's result. Raises what it raises, ChildFailedError, or ChildStartError."""
        await self.start()
        return await self._limited(self._call, pickle.dumps(arguments))

    async def start(self) -> None:
        """Start the process now if it does not run. Raises ChildStartError."""
        try:
            await self._limited(self._started)
        except ChildFailedError as error:
            raise ChildStartError(f"{error.limit} ended it") from None

    async def _limited(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The result of `work`, which has the process to itself. If it fails, the process ends."""
        async with self._turn:
            timer = asyncio.timeout(self._limits.wall_s)
            try:
                async with timer:
                    return await work(*arguments)
            except (ChildFailedError, ChildStartError, TimeoutError, asyncio.CancelledError):
                await self._end()
                if timer.expired():
                    raise ChildFailedError("wall_time") from None
                raise

    async def _call(self, message: bytes) -> Any:
        return await self._exchange(await self._started(), message)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and not _is_usable(self._process):
            logger.warning("child process %d ended between two calls; a new one starts", self._process.pid)
            await self._end()
        if self._process is None:
            self._process = await self._start()
            await self._prepare(self._process)
        return self._process

    async def _prepare(self, process: asyncio.subprocess.Process) -> None:
        """Let the process make the function. Any error ends it: it would take the next call for the first message."""
        try:
            await self._exchange(process, self._first_message)
        except (ChildFailedError, ChildStartError, TimeoutError):
            raise
        except Exception as error:
            logger.exception("a child process cannot make its function")
            raise ChildStartError(type(error).__name__) from error

    async def close(self) -> None:
        """End the process once the call under way has ended."""
        async with self._turn:
            await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "deployments.replica.child_main"]
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                str(self._limits.memory_bytes),
                str(self._limits.cpu_s),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:  # no memory, or too many processes or open files
            raise ChildStartError(error.strerror or type(error).__name__) from error

    async def _exchange(self, process: asyncio.subprocess.Process, message: bytes) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(LENGTH.pack(len(message)) + message)
            await process.stdin.drain()
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            outcome, value = pickle.loads(await process.stdout.readexactly(length))
        except (OSError, asyncio.IncompleteReadError):
            raise ChildFailedError(await _limit_that_ended(process)) from None
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


def _is_usable(process: asyncio.subprocess.Process) -> bool:
    """Whether the process runs and its pipes are open. The event loop may not have noticed yet that it ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    if process.returncode is not None or process.stdin.is_closing() or process.stdout.at_eof():
        return False
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:  # the event loop has its exit status already
        return False


async def _limit_that_ended(process: asyncio.subprocess.Process) -> Limit:
    """Which limit ended a process whose pipe broke. One that runs on is useless, and counts as killed."""
    try:
        async with asyncio.timeout(EXIT_S):
            return _limit_of(await process.wait())
    except TimeoutError:
        return "killed"


def _limit_of(exit_status: int) -> Limit:
    """Which limit ended the process. C++ libraries abort when memory runs out. Only others send SIGKILL."""
    limits: dict[int, Limit] = {
        -signal.SIGXCPU: "cpu_time",
        -signal.SIGABRT: "memory",
        -signal.SIGTRAP: "memory",
        -signal.SIGKILL: "killed",
    }
    return limits.get(exit_status, "crash")
