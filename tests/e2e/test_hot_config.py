"""Changes of the deployment file of a running service."""

import pytest
from ray.serve.context import _get_global_client

from serve.cli.remote import RemoteService
from tests.conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def pids() -> dict[str, list[int]]:
    """The processes of each deployment's replicas."""
    deployments = _get_global_client().get_serve_details()["applications"]["ragserve"]["deployments"]
    return {name: [replica["pid"] for replica in details["replicas"]] for name, details in deployments.items()}


def test_a_changed_user_config_reconfigures_one_stage_in_place(changing: Service) -> None:
    before = pids()

    changing.deployment("Embedder")["user_config"]["max_batch_size"] = 7
    changing.apply()

    assert pids() == before
    assert len(before["Embedder"]) == 1


def test_changed_autoscaling_numbers_restart_nothing(changing: Service) -> None:
    before = pids()

    changing.deployment("Embedder")["autoscaling_config"]["target_ongoing_requests"] = 5
    changing.apply()

    assert pids() == before


def test_swapping_a_model_changes_only_its_stage(changing: Service) -> None:
    before = pids()

    changing.deployment("Reranker")["user_config"]["model"] = "late-interaction-fp32"
    changing.apply()

    with RemoteService(changing.url) as remote:
        assert remote.readiness()["stages"]["rerank"]["model"] == "late-interaction-fp32"
    assert pids() == before
