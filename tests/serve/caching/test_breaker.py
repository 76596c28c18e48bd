"""A breaker stops calls to a dead server, and tries it again now and then."""

from serve.caching.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, MAX_FAILURES, Breaker


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(MAX_FAILURES):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_failures_in_a_row_stop_the_calls_for_a_while() -> None:
    clock = Clock()
    breaker = opened(clock)

    at_once = breaker.allows()
    clock.now += FIRST_PAUSE_S

    assert (at_once, breaker.allows()) == (False, True)


def test_one_call_alone_tries_a_dead_server() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += FIRST_PAUSE_S

    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_each_failed_try_doubles_the_pause_up_to_a_limit() -> None:
    clock = Clock()
    breaker, pauses = opened(clock), []
    for _ in range(7):
        start = clock.now
        while not breaker.allows():
            clock.now += 1
        breaker.failed()
        pauses.append(clock.now - start)

    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_success_closes_it_and_a_failure_between_successes_opens_nothing() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += FIRST_PAUSE_S
    breaker.allows()

    breaker.succeeded()
    for _ in range(MAX_FAILURES):
        breaker.failed()
        breaker.succeeded()

    assert breaker.allows()
