"""Calls side by side in child processes: real processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deployments.replica import child_pool
from deployments.replica.child_pool import ChildPool
from deployments.replica.child_process import ChildLimits
from tests.processes import parser_children

LIMITS = ChildLimits(memory_bytes=512 * 1024**2, cpu_s=10, wall_s=60)


def make() -> Callable[[str], object]:
    """The function that a child calls for each message."""

    def work(command: str) -> object:
        if command.startswith("/"):
            Path(command).touch()
            signal.pause()
        return os.getpid()

    return work


@pytest.fixture
async def pool() -> AsyncIterator[ChildPool]:
    pool = ChildPool(2, LIMITS, make)
    yield pool
    await pool.close()


async def endless(pool: ChildPool, path: Path, tenant: str = "a") -> "asyncio.Task[object]":
    """A call that never ends, once it is under way."""
    call = asyncio.create_task(pool.call(tenant, str(path)))
    while not await asyncio.to_thread(path.exists):  # noqa: ASYNC110, another process makes it
        await asyncio.sleep(0.02)
    return call


async def end(*calls: "asyncio.Task[object]") -> None:
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_call_beside_an_endless_one_is_answered(pool: ChildPool, tmp_path: Path) -> None:
    slow = await endless(pool, tmp_path / "slow")

    pid = await pool.call("a", "pid")

    assert not slow.done()
    assert await pool.call("a", "pid") == pid
    await end(slow)


async def test_calls_at_once_are_in_processes_of_their_own(pool: ChildPool) -> None:
    pids = await asyncio.gather(*(pool.call("a", "pid") for _ in range(6)))

    assert len(set(pids)) == 2


async def test_slow_calls_make_room(pool: ChildPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_pool, "SLOW_S", 0.1)
    slow = [await endless(pool, tmp_path / str(number)) for number in range(3)]

    assert isinstance(await pool.call("a", "pid"), int)

    await end(*slow)
    await pool.call("a", "pid")
    assert len(parser_children()) <= 2


async def test_the_tenant_with_the_fewest_calls_in_work_is_next(
    pool: ChildPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_pool, "SLOW_S", 600.0)  # on a busy machine the test takes longer than a quick call
    slow = [await endless(pool, tmp_path / str(number)) for number in range(2)]
    order: list[str] = []

    async def call(tenant: str) -> None:
        await pool.call(tenant, "pid")
        order.append(tenant)

    waiting = [asyncio.create_task(call(tenant)) for tenant in ("a", "a", "b")]
    await asyncio.sleep(0)
    await end(slow[0])
    await asyncio.gather(*waiting)

    assert order == ["b", "a", "a"]
    await end(slow[1])


async def test_a_call_that_is_cancelled_while_it_waits_takes_no_place(pool: ChildPool, tmp_path: Path) -> None:
    slow = [await endless(pool, tmp_path / str(number)) for number in range(2)]
    waiting = asyncio.create_task(pool.call("a", "pid"))
    await asyncio.sleep(0)

    await end(waiting)
    await end(*slow)

    assert isinstance(await pool.call("a", "pid"), int)


async def test_closing_ends_the_processes(tmp_path: Path) -> None:
    pool = ChildPool(2, LIMITS, make)
    await asyncio.gather(*(pool.call("a", "pid") for _ in range(4)))

    await pool.close()

    assert parser_children() == []
