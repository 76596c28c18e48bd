"""A probe that stands in no queue: what is healthy, what is stuck, and when a probe runs."""

import asyncio

import pytest

from deployments.replica import liveness
from deployments.replica.liveness import Liveness
from models.errors.stages import StageUnavailableError

STUCK_S = 100.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Probe:
    """Ends when the gate opens; fails if `error` is set."""

    def __init__(self) -> None:
        self.num_runs = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> None:
        self.num_runs += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alive(clock: Clock) -> Liveness:
    return Liveness("embed", STUCK_S, clock)


@pytest.fixture
async def probe() -> Probe:
    probe = Probe()
    probe.gate.set()
    return probe


async def test_an_idle_replica_is_probed_and_then_left_alone_for_a_while(
    alive: Liveness, clock: Clock, probe: Probe
) -> None:
    await alive.check(probe)
    await alive.check(probe)
    assert probe.num_runs == 1

    clock.now += liveness.RECENT_S
    await alive.check(probe)

    assert probe.num_runs == 2


async def test_work_under_way_needs_no_probe_until_it_is_stuck(alive: Liveness, clock: Clock, probe: Probe) -> None:
    with alive.working():
        clock.now += STUCK_S
        await alive.check(probe)

        clock.now += 1
        with pytest.raises(StageUnavailableError):
            await alive.check(probe)

    assert probe.num_runs == 0
    await alive.check(probe)


async def test_one_stuck_piece_of_work_counts_whatever_the_others_do(
    alive: Liveness, clock: Clock, probe: Probe
) -> None:
    with alive.working():
        clock.now += STUCK_S + 1
        with alive.working():
            pass

        with pytest.raises(StageUnavailableError):
            await alive.check(probe)


async def test_work_that_fails_proves_nothing(alive: Liveness, probe: Probe) -> None:
    with pytest.raises(ValueError, match="broken"), alive.working():
        raise ValueError("broken")

    await alive.check(probe)

    assert probe.num_runs == 1


async def test_the_error_of_a_probe_is_raised_and_the_next_probe_may_succeed(alive: Liveness, probe: Probe) -> None:
    probe.error = ValueError("the weights are broken")
    with pytest.raises(ValueError, match="the weights are broken"):
        await alive.check(probe)

    probe.error = None
    await alive.check(probe)

    assert probe.num_runs == 2


async def test_a_slow_probe_is_healthy_until_it_is_stuck(
    alive: Liveness, clock: Clock, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "ANSWER_S", 0.0)
    probe.gate.clear()
    await alive.check(probe)
    clock.now += STUCK_S
    await alive.check(probe)

    clock.now += 1
    with pytest.raises(StageUnavailableError):
        await alive.check(probe)
    probe.gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await alive.check(probe)
    assert probe.num_runs == 1


async def test_the_late_error_of_a_slow_probe_is_raised_by_the_next_check(
    alive: Liveness, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "ANSWER_S", 0.0)
    probe.gate.clear()
    probe.error = ValueError("the weights are broken")
    await alive.check(probe)

    probe.gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    with pytest.raises(ValueError, match="the weights are broken"):
        await alive.check(probe)


async def test_work_that_succeeds_ends_a_stall(alive: Liveness, clock: Clock) -> None:
    with alive.working():
        clock.now += 50
        before = alive.stalled_s()
        with alive.working():
            pass
        clock.now += 10

        assert (before, alive.stalled_s(), alive.oldest_s(), alive.num_running) == (50, 10, 60, 1)
    assert (alive.stalled_s(), alive.oldest_s(), alive.num_running) == (0, 0, 0)
