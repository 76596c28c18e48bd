"""A plan's throughput against replicas of Ray Serve that sleep as long as its profile says."""

from typing import Any

import pytest

from serve.benchmarks.plan_cases import cases
from serve.benchmarks.plan_check import check_on_ray


@pytest.mark.ray
@pytest.mark.slow
async def test_a_plans_replicas_bear_what_it_predicts(cluster: dict[str, Any]) -> None:
    case = next(one for one in cases() if one.expected == "rerank")

    found = await check_on_ray(case, seconds=5.0)

    assert found.bottleneck == "rerank"
    assert found.found_per_s == pytest.approx(found.predicted_per_s, rel=0.15)
