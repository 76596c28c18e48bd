"""The programs of docs/recipes.md, run with the frameworks that they are for.

Agents that call tools run against a small server in place of a language model: none that a CPU runs here calls any.
"""

import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT, Service
from tests.docs.documented_service import LOCAL_URL
from tests.docs.test_readme import FENCE
from tests.frameworks import output_of
from tests.remote_server import scripted_server
from tests.serve.api.http_server import Server

PAGE = ROOT / "docs" / "recipes.md"
PROGRAMS = {
    re.findall(r"^## (.+)$", PAGE.read_text()[: match.start()], re.MULTILINE)[-1] + f" {match.start()}": match[2]
    for match in FENCE.finditer(PAGE.read_text())
}


CALLING = [name for name in PROGRAMS if name.startswith("Agents that call tools")]


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
