"""A plan compared with Ray Serve replicas that sleep for the times of its profile."""

from typing import Any

import pytest

from serve.cli.bench.plan.cases import cases
from serve.cli.bench.plan.check import check_on_ray


@pytest.mark.ray
@pytest.mark.slow
def test_replicas_carry_the_predicted_load(cluster: dict[str, Any]) -> None:
    case = next(case for case in cases() if case.expected == "rerank")

    check = check_on_ray(case, cluster["port"], seconds=5.0)

    assert check.bottleneck == "rerank"
    # A busy machine carries less; `ragserve bench plan` measures a quiet one.
    assert 0 < check.measured_per_s <= 1.15 * check.predicted_per_s
