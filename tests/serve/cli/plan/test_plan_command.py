"""`ragserve plan` from end to end, with a shipped profile."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import serve.cli.capacity
from serve.cli.main import app
from serve.config_file import check, read

ROOT = Path(__file__).parents[4]
SHIPPED = Path(serve.cli.capacity.__file__).with_name("profiles")
ARGUMENTS = [
    "plan",
    "--config",
    str(ROOT / "serve_config.yaml"),
    "--profile",
    str(SHIPPED / "gpus.yaml"),
    "--hardware",
    str(SHIPPED / "gpu_hardware.yaml"),
]


def test_the_command_prints_the_plan_and_writes_the_file(tmp_path: Path) -> None:
    planned = tmp_path / "planned.yaml"

    result = CliRunner().invoke(app, [*ARGUMENTS, "--qps", "50", "--latency", "5", "--write", str(planned)])

    assert result.exit_code == 0, result.output
    assert "bottleneck: " in result.output
    assert " USD per month (" in result.output
    assert "simulated" in result.output
    assert check(read(planned)) == []


def test_prices_and_the_size_of_token_vectors_change_the_cost(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("{currency: EUR, cpu_hour: 0, memory_gib_hour: 0, gpu_hour: 1, disk_gib_month: 1}")
    options = ["--qps", "50", "--latency", "5", "--prices", str(prices), "--token-bytes", "20000", "--json"]

    result = CliRunner().invoke(app, [*ARGUMENTS, *options])

    plan = json.loads(result.output)
    assert plan["stages"]["dense"]["disk_gb"] == 100_000 * 23_200 / 1e9
    assert plan["cost"]["currency"] == "EUR"
    assert plan["cost"]["disk_per_month"] == pytest.approx(plan["disk_gb"] * 1e9 / 2**30)
    assert plan["cost"]["per_month"] == plan["cost"]["nodes_per_month"] + plan["cost"]["disk_per_month"]


def test_an_impossible_target_is_an_error() -> None:
    result = CliRunner().invoke(app, [*ARGUMENTS, "--qps", "50", "--latency", "0.5"])

    assert result.exit_code != 0
    assert "generate takes" in str(result.exception)
