"""Replicas with work in their queues share what comes evenly: none of them runs dry while another has plenty."""

from typing import Any

import pytest
from ray import serve

from deployments.routing import ROUTING
from tests.one_by_one import Callers, OneByOne


@pytest.mark.ray
@pytest.mark.slow
async def test_no_replica_runs_dry_while_another_has_plenty(cluster: dict[str, Any]) -> None:
    options: dict[str, Any] = {"max_ongoing_requests": 1_000, "ray_actor_options": {"num_cpus": 0.01}}
    stage = serve.deployment(OneByOne, num_replicas=2, request_router_config=ROUTING, **options).bind()
    handle = serve.run(serve.deployment(Callers, **options).bind(stage), name="routing", route_prefix=None)
    try:
        seen = await handle.drive.remote()
    finally:
        serve.delete("routing")

    assert len({replica for replica, _ in seen}) == 2
    # Each has run dry as often at the end as at the beginning: never in between.
    assert len(set(seen)) == 2
