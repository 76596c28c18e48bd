"""Programs that use a framework, run by the Python that has it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.patience import PATIENCE_S

# A virtual environment of their own, made by `make test`.
FOLDER = Path(os.environ.get("RAGSERVE_FRAMEWORKS", ROOT / ".venv" / "frameworks"))


def output_of(program: str) -> str:
    """What a framework's program prints."""
    if not (FOLDER / ".installed").exists():
        pytest.skip("the frameworks are not installed; `make test` does it")
    run = subprocess.run(
        [FOLDER / "bin" / "python", "-c", program],
        env={**os.environ, "PYTHONPATH": "", "HAYSTACK_TELEMETRY_ENABLED": "False", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
