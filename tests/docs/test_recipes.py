"""The programs of docs/recipes.md, run with the frameworks that they are for.

Agents that call tools run against a small server in place of a language model: none that a CPU runs here calls any.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Service
from tests.docs.documented_service import LOCAL_URL
from tests.docs.test_readme import FENCE
from tests.patience import PATIENCE_S
from tests.remote_server import scripted_server
from tests.serve.api.http_server import Server

PAGE = ROOT / "docs" / "recipes.md"
# A virtual environment of their own, made by `make test`.
PYTHON = Path(os.environ.get("RAGSERVE_FRAMEWORKS", ROOT / ".venv" / "frameworks")) / "bin" / "python"
PROGRAMS = {
    re.findall(r"^## (.+)$", PAGE.read_text()[: match.start()], re.MULTILINE)[-1] + f" {match.start()}": match[2]
    for match in FENCE.finditer(PAGE.read_text())
}


CALLING = [name for name in PROGRAMS if name.startswith("Agents that call tools")]


def output_of(program: str) -> str:
    """What a framework's program prints."""
    if not PYTHON.exists():
        pytest.skip("the frameworks are not installed; `make test` does it")
    run = subprocess.run(
        [PYTHON, "-c", program],
        env={**os.environ, "PYTHONPATH": "", "HAYSTACK_TELEMETRY_ENABLED": "False", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in CALLING])
def test_a_recipe_prints_a_cited_answer(name: str, documented: Service) -> None:
    program = PROGRAMS[name].replace(LOCAL_URL, documented.url)

    printed = output_of(program)

    assert "230 volts. [1]" in printed if "230 volts" in program else "serve_config.yaml. [1]" in printed


@pytest.fixture(scope="module")
def agents_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with scripted_server() as model:
        started = Server(tmp_path_factory.mktemp("agents"), model=model)
        started.start()
        yield started
        started.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLING)
def test_an_agent_answers_from_documents_and_from_its_functions(name: str, agents_service: Server) -> None:
    printed = output_of(PROGRAMS[name].replace(LOCAL_URL, f"http://127.0.0.1:{agents_service.port}"))

    assert printed.strip() == "The oven reads 180 degrees. The oven heats to 250 degrees. [1]"
