"""A plan against replicas of Ray Serve that sleep as long as its profile says: they do the work, and no more of it."""

from typing import Any

import pytest

from serve.cli.bench.plan.cases import cases
from serve.cli.bench.plan.check import check_on_ray


@pytest.mark.ray
@pytest.mark.slow
async def test_a_plans_replicas_bear_what_it_predicts(cluster: dict[str, Any]) -> None:
    case = next(one for one in cases() if one.expected == "rerank")

    found = await check_on_ray(case, seconds=5.0)

    assert found.bottleneck == "rerank"
    # A busy machine does less; how much of it a quiet one does is `ragserve bench plan`'s to say.
    assert 0 < found.found_per_s <= 1.15 * found.predicted_per_s
