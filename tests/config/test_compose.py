"""compose/: the deployment file follows serve_config.yaml, and every service has what it needs. Nothing is started."""

import copy
from pathlib import Path
from typing import Any

import yaml

from serve.config_file import Machine, check, read

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"


def services() -> dict[str, dict[str, Any]]:
    loaded: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return dict(loaded["services"])


def test_the_deployment_file_differs_from_the_shipped_one_in_its_stores_and_its_address() -> None:
    expected = copy.deepcopy(read(ROOT / "serve_config.yaml"))
    expected["http_options"]["host"] = "0.0.0.0"
    arguments = expected["applications"][0]["args"]
    arguments["storage"] = {"data_dir": "/data", "milvus": {"uri": "http://milvus:19530"}}
    arguments["api"] = {"access": "keys"}

    shipped = read(COMPOSE / "serve_config.yaml")

    assert shipped == expected
    assert check(shipped, Machine(num_cpus=2, num_gpus=0)) == []


def test_the_service_waits_for_its_stores_and_each_of_them_has_a_health_check() -> None:
    started = services()

    stores = started["ragserve"]["depends_on"]

    assert stores == {name: {"condition": "service_healthy"} for name in ("postgres", "redis", "milvus")}
    assert all("healthcheck" in started[name] for name in stores)


def test_every_image_is_pinned_and_nothing_listens_beyond_this_machine() -> None:
    for name, service in services().items():
        assert ":" in service["image"], name
        assert "latest" not in service["image"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_no_password_is_in_a_file() -> None:
    text = (COMPOSE / "compose.yaml").read_text()
    names = {line.partition("=")[0] for line in (COMPOSE / "env.example").read_text().splitlines()}

    assert names == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert all(f"${{{name}:?}}" in text for name in names)
    assert all(line.endswith("=") for line in (COMPOSE / "env.example").read_text().splitlines())


def test_what_is_mounted_exists_and_prometheus_reads_the_services_metrics() -> None:
    binds = [
        volume["source"]
        for service in services().values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    (job,) = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())["scrape_configs"]

    assert all((COMPOSE / source).is_file() for source in binds)
    assert job["static_configs"] == [{"targets": ["ragserve:8000"]}]
