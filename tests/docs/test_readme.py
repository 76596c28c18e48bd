"""What the documentation tells people to type works as it stands there."""

import copy
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from models.catalog import Catalog
from serve.api.errors import envelope
from serve.config_file import Machine, check, read
from tests.conftest import ROOT, Service
from tests.docs.documented_service import LOCAL_URL, run_bash

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
RUN = (ROOT / "README.md", ROOT / "docs" / "api.md")  # the pages whose code is run


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    code: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}-{self.language}-line-{self.line}"


def blocks(*languages: str) -> list[Block]:
    texts = {page.stem: page.read_text() for page in RUN}
    page_blocks = (
        Block(page, match[1], match[2], text[: match.start()].count("\n") + 1)
        for page, text in texts.items()
        for match in FENCE.finditer(text)
    )
    return [block for block in page_blocks if block.language in languages]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    kinds = {match[1] for page in RUN for match in FENCE.finditer(page.read_text())}

    assert kinds == {"sh", "bash", "python", "yaml", "json", "text"}


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_every_piece_of_json_is_what_the_service_says(block: Block) -> None:
    shown = json.loads(block.code)["error"]

    assert envelope(shown["message"], 422, shown["code"], shown["param"]) == {"error": shown}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]

    assert broken == []


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_every_make_command_has_a_target(block: Block) -> None:
    for line in block.code.splitlines():
        command = line.split("#")[0].split()

        assert command[0] == "make"
        subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_piece_of_configuration_can_stand_in_the_deployment_file(block: Block) -> None:
    raw = copy.deepcopy(read(ROOT / "serve_config.yaml"))
    deployments = raw["applications"][0]["deployments"]

    for changed in yaml.safe_load(block.code):
        (stage,) = (deployment for deployment in deployments if deployment["name"] == changed["name"])
        stage |= changed

    assert [str(problem) for problem in check(raw, Machine(num_cpus=8, num_gpus=1))] == []


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_the_catalog_that_the_documentation_shows_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    blocks = [match[2] for match in FENCE.finditer(page) if match[1] == "yaml"]
    (shown,) = [block for block in blocks if "our-embedder" in block]
    path = tmp_path / "catalog.yaml"
    path.write_text(shown)

    catalog = Catalog.open(path)

    assert catalog.config("embedding", "our-embedder")
    assert catalog.config("generation", "our-llm")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_every_shell_block_runs(documented: Service, block: Block) -> None:
    output = run_bash(documented, block.code)

    if "/v1/query" in block.code:
        body = json.loads(output)
        assert body["citations"]
        assert "serve_config.yaml" in body["answer"]
    else:
        assert output
        assert '"error"' not in output


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_python_block_runs(documented: Service, block: Block) -> None:
    code = block.code.replace(LOCAL_URL, documented.url)

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
