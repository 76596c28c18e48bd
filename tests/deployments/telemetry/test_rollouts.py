"""Roll-outs, as several ingress replicas of a node see them."""

from pathlib import Path

from prometheus_client import REGISTRY

from deployments.telemetry.rollouts import RolloutWatch


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"ragserve_{name}", labels) or 0.0


def counts(deployment: str) -> list[float]:
    outcomes = ("started", "finished", "failed")
    return [value("rollouts_total", deployment=deployment, outcome=outcome) for outcome in outcomes]


def test_a_rollout_counts_once_whoever_sees_it_and_whoever_is_replaced(tmp_path: Path) -> None:
    states, now = {"Probe": "healthy"}, [1000.0]

    def watch() -> RolloutWatch:
        return RolloutWatch(lambda: states, tmp_path, lambda: now[0])

    first, second = watch(), watch()
    for each in (first, second):
        each.look()
    assert counts("Probe") == [0, 0, 0]

    states["Probe"] = "updating"
    for each in (first, second, first):
        each.look()
    assert counts("Probe") == [1, 0, 0]
    assert value("deployment_state", deployment="Probe", state="updating") == 1
    assert value("deployment_state", deployment="Probe", state="healthy") == 0

    now[0] += 40
    states["Probe"] = "healthy"
    third = watch()  # those that saw it begin were replaced by it
    for each in (third, second):
        each.look()
    assert counts("Probe") == [1, 1, 0]
    assert value("rollout_seconds_sum", deployment="Probe", outcome="finished") == 40
    assert value("deployment_state", deployment="Probe", state="healthy") == 1


def test_a_rollout_that_serve_gives_up_has_failed(tmp_path: Path) -> None:
    states = {"Broken": "updating"}
    watch = RolloutWatch(lambda: states, tmp_path)
    watch.look()

    states["Broken"] = "deploy_failed"
    watch.look()
    watch.look()

    assert counts("Broken") == [1, 0, 1]


def test_without_serve_nothing_is_counted(tmp_path: Path) -> None:
    RolloutWatch(dict, tmp_path).look()

    assert list(tmp_path.iterdir()) == []
