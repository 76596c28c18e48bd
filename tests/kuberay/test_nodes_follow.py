"""Nodes follow the load: Serve's replicas, Ray's own KubeRay autoscaler, the manifests' worker groups."""

import json
import os
import subprocess
import sys

import pytest

from deployments.cluster.environment import OWN_PORTS
from tests.conftest import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1260)]


def test_nodes_are_added_and_removed_with_the_load_of_their_stage_and_no_request_fails() -> None:
    # Without the ports of the session's HAProxy.
    environment = {name: value for name, value in os.environ.items() if name not in OWN_PORTS}

    done = subprocess.run(
        [sys.executable, "-m", "tests.kuberay.nodes_follow"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["nodes"] == {
        "before": {"cpu": 1, "embedding": 1, "generation": 0},
        "load on embedding": {"cpu": 1, "embedding": 2, "generation": 0},
        "and on generation": {"cpu": 1, "embedding": 2, "generation": 1},
        "after": {"cpu": 1, "embedding": 1, "generation": 0},
    }
    assert sorted(report["deleted"]) == ["embedding", "generation"]
    assert report["failures"] == []
    assert min(report["num_requests"].values()) > 0
    assert set(report["num_requests"]) == {"/Embedder", "/Generator"}
