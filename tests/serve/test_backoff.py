import pytest

from serve.pipelines.backoff import backoff_s


@pytest.mark.parametrize(("number", "pause_s"), [(1, 2), (2, 4), (3, 8), (6, 60), (10_000, 60)])
def test_a_pause_doubles_up_to_its_limit(number: int, pause_s: float) -> None:
    assert backoff_s(2, number, 60, jitter=1) == pause_s


def test_half_of_a_pause_is_random() -> None:
    pauses = [backoff_s(2, 1, 60) for _ in range(100)]

    assert 1 <= min(pauses) < max(pauses) <= 2
    assert backoff_s(2, 1, 60, jitter=0) == 1
