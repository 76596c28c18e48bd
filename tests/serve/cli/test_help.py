"""`ragserve --help` starts quickly, and every command explains itself."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from serve.cli.main import app
from tests.conftest import ROOT

HEAVY_MODULES = {"ray", "torch", "numpy", "pydantic", "yaml", "httpx"}
COMMANDS = [
    "up",
    "ingest",
    "ask",
    "status",
    "top",
    "dead-letters",
    "replay",
    "check-config",
    "backup",
    "restore",
    "plan",
    "eval",
    "kubernetes",
    "bench",
]


def test_help_loads_no_heavy_module() -> None:
    script = "import sys, serve.cli.main; print(*sys.modules)"

    imported = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert HEAVY_MODULES & set(imported.stdout.split()) == set()


def test_help_lists_every_command_with_a_whole_sentence() -> None:
    result = CliRunner().invoke(app, ["--help"], terminal_width=80)

    lines = [line for line in result.output.splitlines() if line.split() and line.split()[0] in COMMANDS]
    assert sorted(line.split()[0] for line in lines) == sorted(COMMANDS)
    assert [line for line in lines if line.endswith("...")] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])

    assert result.exit_code == 0
    assert "Usage: " in result.output
