"""A small prepared corpus: two question sets, and a deployment file whose embedding model needs no weights."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from serve.cli.driver.corpus.make import prepare
from serve.cli.driver.corpus.plan import CorpusPlan
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.config_file import read

SHIPPED = Path(__file__).parents[3] / "serve_config.yaml"
HASHING = {"embedding": {"hashing": {"kind": "hashing", "licence": "Apache-2.0", "options": {"dim": 64}}}}
THINGS = ("oven", "duck", "rocket", "library", "wing", "river", "chess board", "violin")


def write_set(folder: Path, things: tuple[str, ...]) -> Path:
    """A document a thing, of four sentences, and two questions about each."""
    folder.mkdir()
    documents, queries, qrels = list[str](), list[str](), ["query-id\tcorpus-id\tscore"]
    for number, thing in enumerate(things):
        text = f"The {thing} was made in {1900 + number}. It has {number + 2} parts of {thing} metal. "
        text += f"People clean the {thing} every {number + 1} days. Nobody sells a {thing} without a label."
        documents.append(json.dumps({"_id": f"d{number}", "title": "", "text": text}))
        for place, question in enumerate((f"When was the {thing} made?", f"Who cleans the {thing}?")):
            queries.append(json.dumps({"_id": f"q{number}-{place}", "text": question}))
            qrels.append(f"q{number}-{place}\td{number}\t1")
    for name, lines in {"corpus.jsonl": documents, "queries.jsonl": queries, "qrels.tsv": qrels}.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def hashing_plan(tmp_path_factory: pytest.TempPathFactory) -> CorpusPlan:
    """40 chunks, 8 of them real, of 64 dimensions."""
    folder = tmp_path_factory.mktemp("sets")
    raw = read(SHIPPED)
    raw["applications"][0].setdefault("args", {})["catalog"] = str(folder / "catalog.yaml")
    for deployment in raw["applications"][0]["deployments"]:
        if deployment["name"] == "Embedder":
            deployment["user_config"] = {"model": "hashing"}
    (folder / "catalog.yaml").write_text(yaml.safe_dump(HASHING))
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    sets = (write_set(folder / "first", THINGS[:4]), write_set(folder / "second", THINGS[4:]))
    return CorpusPlan(sets, folder / "config.yaml", num_chunks=40, max_real=8)


@pytest.fixture(scope="session")
def prepare_corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[[CorpusPlan], PreparedCorpus]:
    """Makes a corpus in a folder of its own."""
    return lambda plan: prepare(plan, tmp_path_factory.mktemp("corpus"), lambda _: None)


@pytest.fixture(scope="session")
def prepared(hashing_plan: CorpusPlan, prepare_corpus: Callable[[CorpusPlan], PreparedCorpus]) -> PreparedCorpus:
    return prepare_corpus(hashing_plan)
