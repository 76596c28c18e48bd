"""`ragserve plan` from end to end, with a shipped profile."""

from pathlib import Path

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
    assert "simulated" in result.output
    assert check(read(planned)) == []


def test_an_impossible_target_is_an_error() -> None:
    result = CliRunner().invoke(app, [*ARGUMENTS, "--qps", "50", "--latency", "0.5"])

    assert result.exit_code != 0
    assert "generate takes" in str(result.exception)
