"""A clock that was set back is noticed once; one that goes on, or jumps ahead, is not."""

from serve.cli.up.wall_clock import WallClock
from tests.deployments.simulated_stage import Clock


def test_a_clock_that_is_set_back_is_noticed_once() -> None:
    wall, monotonic = Clock(), Clock()
    clock = WallClock(lambda: wall.now_s, lambda: monotonic.now_s)
    seen = [clock.went_back()]

    for step_s in (1.0, 86_400.0, 1.0, -86_400.0, 1.0, -4.0, -3_600.0):
        wall.now_s += step_s
        monotonic.now_s += 1.0
        seen.append(clock.went_back())

    assert seen == [False, False, False, False, True, False, False, True]
