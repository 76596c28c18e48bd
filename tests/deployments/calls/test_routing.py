"""Replicas with work in their queues share what comes evenly: none of them runs dry while another has plenty."""

from typing import Any

import pytest
from ray import serve
from ray.serve.context import _get_global_client

from deployments.calls.routing import ROUTING, FewestUnanswered
from tests.conftest import Service
from tests.one_by_one import Callers, OneByOne


@pytest.mark.ray
@pytest.mark.slow
async def test_no_replica_runs_dry_while_another_has_plenty(cluster: dict[str, Any]) -> None:
    options: dict[str, Any] = {"max_ongoing_requests": 1_000, "ray_actor_options": {"num_cpus": 0.01}}
    stage = serve.deployment(OneByOne, num_replicas=2, request_router_config=ROUTING, **options).bind()
    handle = serve.run(serve.deployment(Callers, **options).bind(stage), name="routing", route_prefix=None)
    try:
        answers = await handle.drive.remote()
        assert await handle.num_replicas.remote() == 2
    finally:
        serve.delete("routing")

    assert len({replica for replica, _ in answers}) == 2
    # Each has run dry as often at the end as at the beginning: never in between.
    assert len(set(answers)) == 2


@pytest.mark.ray
@pytest.mark.slow
def test_every_stage_of_the_application_is_routed_so_but_the_ingress(service: Service) -> None:
    details = _get_global_client().get_serve_details()["applications"]["ragserve"]["deployments"]

    routers = {
        name: details_of["deployment_config"]["request_router_config"]["request_router_class"].rpartition(".")[2]
        for name, details_of in details.items()
    }
    # HAProxy chooses the ingress' replica, and Serve refuses a router of ours there.
    assert routers.pop("Ingress") != FewestUnanswered.__name__
    assert len(routers) >= 6
    assert set(routers.values()) == {FewestUnanswered.__name__}
