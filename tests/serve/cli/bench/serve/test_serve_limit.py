"""`ragserve bench serve`: the libraries alone, on a small corpus."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from serve.cli.bench.serve.limit import LimitRequest, library_costs, measure_limit
from serve.cli.bench.serve.raw_words import RawWords
from serve.cli.bench.serve.rows import ServePlan
from serve.cli.bench.serve.run import limit_request
from serve.cli.driver.corpus.plan import CorpusPlan
from serve.cli.driver.corpus.prepared import PreparedCorpus

TOKENS = {"embedding": {"hashing": {"kind": "tests.token_hashing:TokenHashingModel", "licence": "Apache-2.0"}}}


def request(plan: CorpusPlan, corpus: PreparedCorpus) -> LimitRequest:
    return limit_request(ServePlan(plan.config, num_limit=5), corpus)


def test_every_library_but_max_sim_costs_something(hashing_plan: CorpusPlan, prepared: PreparedCorpus) -> None:
    database = Path(prepared.storage().url.removeprefix("sqlite:///"))
    before = hashlib.sha256(database.read_bytes()).hexdigest()

    costs = measure_limit(request(hashing_plan, prepared))

    assert min(costs.embed_ms, costs.dense_ms, costs.lexical_ms, costs.read_ms) > 0
    assert costs.max_sim_ms == 0  # the model has no token vectors
    assert costs.sum_ms == pytest.approx(costs.embed_ms + costs.dense_ms + costs.lexical_ms + costs.read_ms)
    assert hashlib.sha256(database.read_bytes()).hexdigest() == before
    assert [path.name for path in database.parent.glob("ragserve.db-*")] == []


def test_a_corpus_with_token_vectors_costs_max_sim(
    hashing_plan: CorpusPlan, prepare_corpus: Callable[[CorpusPlan], PreparedCorpus], tmp_path: Path
) -> None:
    raw = yaml.safe_load(hashing_plan.config.read_text())
    raw["applications"][0]["args"]["catalog"] = str(tmp_path / "catalog.yaml")
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(TOKENS))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    plan = replace(hashing_plan, config=tmp_path / "config.yaml")

    costs = library_costs(request(plan, prepare_corpus(plan)))

    assert costs.max_sim_ms > 0


def test_the_libraries_get_the_service_s_sizes(hashing_plan: CorpusPlan, prepared: PreparedCorpus) -> None:
    made = request(hashing_plan, prepared)

    assert (made.model, made.candidates, made.rerank_candidates) == ("hashing", 50, 30)
    assert made.questions == tuple(question.text for question in prepared.questions[:5])


def test_raw_words_finds_stems_and_drops_stop_words_of_the_question() -> None:
    words = RawWords(["The oven heats.", "It rains on the ducks.", "A violin."])

    assert words.search("the duck", 5) == [2]
    assert words.search("heating of ovens", 1) == [1]
