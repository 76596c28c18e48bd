import json
from pathlib import Path

import pytest
from rich.console import Console

from models.errors.requests import InvalidRequestError
from serve.cli.driver.evaluated_service import CHUNKING, STRATEGIES, SearchOutcome
from serve.cli.driver.question_set import read_question_set
from serve.cli.eval.chunkings import StrategyRow, answered, parse_chunkings, print_rows, save_rows
from tests.serve.cli.eval.evaluation_samples import write_set


def row(chunking: str, ndcg: float, contained: float | None = 0.5) -> StrategyRow:
    return StrategyRow("birds", chunking, "default", 2, ndcg, 1.0, contained, 1200, 98.6, 2_500_000, 0)


def write_answers(folder: Path) -> Path:
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": name, "title": "", "text": name}) + "\n" for name in "abc")
    )
    queries = [{"_id": "1", "text": "x", "answers": ["Denver  Broncos", " "]}, {"_id": "2", "text": "y", "answers": []}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    (folder / "qrels.tsv").write_text("1\tb\t1\n2\tc\t1\n")
    return folder


def test_a_list_of_strategies_is_compared_in_its_order() -> None:
    assert parse_chunkings("semantic, structure,semantic") == ("semantic", "structure")
    assert parse_chunkings("all") == tuple(STRATEGIES)
    assert parse_chunkings("static") == ("static",)
    for name in CHUNKING:
        assert parse_chunkings(name) == (name,)


@pytest.mark.parametrize(("text", "problem"), [("", "no chunking given"), ("semantics", "semantic"), ("all,x", "'x'")])
def test_an_unknown_strategy_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        parse_chunkings(text)


def test_an_answer_counts_whatever_its_case_and_white_space(tmp_path: Path) -> None:
    questions = read_question_set(write_answers(tmp_path))
    hit = SearchOutcome(("b",), False, ("It was the denver\nbroncos.",))
    miss = SearchOutcome(("b",), False, ("It was Denver.",))

    assert questions.answers == {"1": ("Denver  Broncos",), "2": ()}
    assert answered(questions, {"1": hit, "2": miss}) == 1.0
    assert answered(questions, {"1": miss, "2": hit}) == 0.0
    assert answered(questions, {"2": hit}) is None


def test_a_limited_set_has_the_relevant_documents_first(tmp_path: Path) -> None:
    questions = read_question_set(write_answers(tmp_path))

    assert [document.document_id for document in questions.limit(2).documents] == ["b", "c"]
    assert [document.document_id for document in questions.limit(9).documents] == ["b", "c", "a"]


def test_the_table_has_every_figure_and_the_file_too(tmp_path: Path) -> None:
    rows = [row("structure", 0.91), row("semantic", 0.87, None)]
    console = Console(width=132, record=True, quiet=False)

    print_rows(console, rows)
    save_rows(tmp_path / "run" / "rows.json", rows)

    text = " ".join(console.export_text().split())
    assert "structure │ default │ 0.910 │ 1.000 │ 0.500 │ 1,200 │ 99 │ 2,500" in text
    assert json.loads((tmp_path / "run" / "rows.json").read_text())[1]["answered"] is None


def test_a_question_set_without_answers_is_read(tmp_path: Path) -> None:
    assert read_question_set(write_set(tmp_path / "birds")).answers == {}
