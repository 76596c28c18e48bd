"""The programs of docs/recipes.md, run with the frameworks that they are for."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Service
from tests.docs.documented_service import LOCAL_URL
from tests.docs.test_readme import FENCE
from tests.patience import PATIENCE_S

PAGE = ROOT / "docs" / "recipes.md"
# A virtual environment of their own, made by `make test`.
PYTHON = Path(os.environ.get("RAGSERVE_FRAMEWORKS", ROOT / ".venv" / "frameworks")) / "bin" / "python"
PROGRAMS = {
    re.findall(r"^## (.+)$", PAGE.read_text()[: match.start()], re.MULTILINE)[-1] + f" {match.start()}": match[2]
    for match in FENCE.finditer(PAGE.read_text())
}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_recipe_prints_a_cited_answer(name: str, documented: Service) -> None:
    if not PYTHON.exists():
        pytest.skip("the frameworks are not installed; `make test` does it")
    program = PROGRAMS[name].replace(LOCAL_URL, documented.url)

    run = subprocess.run(
        [PYTHON, "-c", program],
        env={**os.environ, "PYTHONPATH": "", "HAYSTACK_TELEMETRY_ENABLED": "False", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert "230 volts. [1]" in run.stdout if "230 volts" in program else "serve_config.yaml. [1]" in run.stdout
