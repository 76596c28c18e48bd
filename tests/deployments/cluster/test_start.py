"""Starting Ray on a machine that is busy, with Ray's own error as it raises it."""

from typing import Any

import pytest

from deployments.cluster import start
from models.errors.configuration import ConfigError

# From Ray 2.60, _private/node.py.
TIMED_OUT = "The current node timed out during startup. This could happen because some of the raylet failed to startup."
SIZE = start.ClusterSize(num_cpus=1)


class SlowRay:
    """Fails as often as told, then starts."""

    def __init__(self, num_failures: int, message: str) -> None:
        self.num_failures, self.message, self.num_calls = num_failures, message, 0

    def __call__(self, **_: Any) -> str:
        self.num_calls += 1
        if self.num_calls <= self.num_failures:
            raise Exception(self.message)
        return "context"


def started(monkeypatch: pytest.MonkeyPatch, slow: SlowRay) -> Any:
    monkeypatch.setattr(start.ray, "init", slow)
    return start._start_ray(SIZE)


def test_a_node_that_is_late_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SlowRay(2, TIMED_OUT)

    assert started(monkeypatch, slow) == "context"
    assert slow.num_calls == 3


def test_a_node_that_is_always_late_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"did not start within 30 s; other programs .* \(3 attempts\)$"):
        started(monkeypatch, SlowRay(3, TIMED_OUT))


def test_any_other_error_of_the_start_is_told_by_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^Ray: did not start: Connection refused \(3 attempts\)$"):
        started(monkeypatch, SlowRay(3, "Failed to start GCS. Last connection error:\nConnection refused"))
