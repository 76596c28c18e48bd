"""Changes of the deployment file of a running service."""

import httpx
import pytest
from ray.serve.context import _get_global_client

from serve.cli.remote import RemoteService
from tests.conftest import START_TIMEOUT_S, Service
from tests.e2e.steady_clients import SteadyClients, json_request
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def pids() -> dict[str, list[int]]:
    """The processes of each deployment's replicas."""
    deployments = _get_global_client().get_serve_details()["applications"]["ragserve"]["deployments"]
    return {name: [replica["pid"] for replica in details["replicas"]] for name, details in deployments.items()}


def replica_ids() -> dict[str, list[str]]:
    deployments = _get_global_client().get_serve_details()["applications"]["ragserve"]["deployments"]
    return {name: [replica["replica_id"] for replica in details["replicas"]] for name, details in deployments.items()}


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


def test_changed_settings_of_the_ingress_take_effect_in_place_under_load(changing: Service) -> None:
    before = replica_ids()
    ask = json_request("search", "/v1/vector_stores/default/search", {"query": "How hot?"}, lambda body: "data" in body)

    with SteadyClients(changing.url, [ask], num_clients=4, pause_s=0.005) as clients:
        clients.wait_for_more(20, START_TIMEOUT_S)
        for max_chars in (30, 40, 50, 60, 20):
            changing.deployment("Ingress")["user_config"]["api"] = {"max_query_chars": max_chars}
            changing.deployment("Ingress")["user_config"]["retrieval"]["candidates"] = max_chars
            changing.apply()
            clients.wait_for_more(20, START_TIMEOUT_S)

    refused = httpx.post(f"{changing.url}/v1/query", json={"query": "x" * 25}, trust_env=False)
    assert refused.status_code == 422
    assert "20" in refused.json()["error"]["message"]
    assert clients.failed == []
    assert replica_ids() == before


def test_a_wrong_setting_changes_nothing_and_stops_no_replica(changing: Service) -> None:
    """`ragserve up` refuses such a file; a RayService may still bring it."""
    before = replica_ids()

    changing.deployment("Ingress")["user_config"]["api"] = {"max_query_chars": "many"}
    changing.apply()

    answered = httpx.post(
        f"{changing.url}/v1/vector_stores/default/search",
        json={"query": "How hot?"},
        trust_env=False,
        timeout=PATIENCE_S,
    )
    assert answered.status_code == 200
    assert replica_ids() == before
