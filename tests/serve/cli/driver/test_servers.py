"""Servers in processes of their own: started, loaded, ended; and the deployment file that a benchmark changes."""

import sys
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from serve.cli.bench.models.memory import pss_mb
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.peers.environments import ServerStartError
from serve.cli.driver.random_models import CROSS_ENCODER, write_cross_encoder_catalog
from serve.cli.driver.servers import OURS, Launch, constant_answers, ragserve_with, running
from serve.cli.driver.turns import served
from serve.cli.driver.workload import write_bodies
from serve.config_file import Machine, check, read

DEPLOYMENT_FILE = Path(__file__).parents[4] / "serve_config.yaml"


class TestServers:
    def test_a_server_in_a_process_is_loaded_and_ended(self, tmp_path: Path) -> None:
        bodies = write_bodies(tmp_path / "bodies.jsonl", [{"input": "a"}])
        with running(constant_answers(100), tmp_path, threads=1) as server:
            contender = served(OURS, server, Load("", 0, "/", str(bodies), 2, 0.0))
            result = contender.turn(0.2)
            memory_mb = pss_mb([psutil.Process(server.pid)])

        assert result.requests > 0
        assert result.errors == 0
        assert memory_mb > 1
        assert not psutil.pid_exists(server.pid)

    def test_cold_bodies_are_never_sent_twice(self, tmp_path: Path) -> None:
        bodies = write_bodies(tmp_path / "bodies.jsonl", [{"input": str(number)} for number in range(5)])
        with running(constant_answers(100), tmp_path, threads=1) as server:
            contender = served(OURS, server, Load("", 0, "/", str(bodies), 1, 0.0, repeats=False))
            first, second = contender.turn(20), contender.turn(20)

        assert (first.requests, second.requests) == (5, 0)

    def test_a_server_that_ends_at_once_gives_its_reason(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "raise SystemExit('no such model')"]

        with (
            pytest.raises(ServerStartError, match="no such model"),
            running(Launch("peer", command, "/", {}), tmp_path, 1),
        ):
            pass

    def test_our_deployment_file_is_a_good_one(self, tmp_path: Path) -> None:
        catalog = write_cross_encoder_catalog(tmp_path / "catalog.yaml", tmp_path)

        models = {"Embedder": "minilm-int8", "Reranker": CROSS_ENCODER}
        launch = ragserve_with(DEPLOYMENT_FILE, tmp_path, models, catalog)

        raw = read(Path(launch.command[launch.command.index("--config") + 1]))
        deployments = {deployment["name"]: deployment for deployment in raw["applications"][0]["deployments"]}
        assert deployments["Reranker"]["user_config"]["model"] == CROSS_ENCODER
        assert check(raw, Machine(2, 0)) == []

    def test_every_model_gets_a_share_of_the_gpu(self, tmp_path: Path) -> None:
        ragserve_with(DEPLOYMENT_FILE, tmp_path, {}, has_gpu=True)

        deployments = yaml.safe_load((tmp_path / "serve_config.yaml").read_text())["applications"][0]["deployments"]
        shares = {deployment["name"]: deployment["ray_actor_options"].get("num_gpus", 0) for deployment in deployments}
        assert {name for name, share in shares.items() if share} == {"Embedder", "Reranker", "Generator"}
        assert sum(shares.values()) <= 1


PRINTS_ITS_ENVIRONMENT = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_has_not_the_folder_and_the_certificate_of_the_service_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAGSERVE_DATA", "RAGSERVE_TLS_CERTIFICATE"):
        monkeypatch.setenv(name, "/of/the/service")
    launch = Launch("environment", [sys.executable, "-c", PRINTS_ITS_ENVIRONMENT, "{port}"], "/")

    with running(launch, tmp_path, threads=1) as server:
        environment = httpx.get(server.url, trust_env=False).json()

    assert "/of/the/service" not in environment.values()
    assert environment["OMP_NUM_THREADS"] == "1"
