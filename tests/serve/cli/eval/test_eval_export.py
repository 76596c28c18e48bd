"""`ragserve eval export`: a question set of what was asked, through a real port and the command line."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyarrow import parquet as pq
from typer.testing import CliRunner

from serve.cli.driver.question_set import read_question_set
from serve.cli.eval.export.select import select_questions
from serve.cli.main import app
from serve.settings import Settings
from tests.patience import PATIENCE_S
from tests.serve.api.http_server import Server

ROW: dict[str, Any] = {
    "request_id": "r1",
    "question": "How hot?",
    "search_query": "How hot is the oven?",
    "vector_store_ids": ["default"],
    "cited_file_ids": ["file-a"],
    "answerable": True,
    "evidence": 0.9,
}
GIVEN: dict[str, Any] = {"id": "r1", "rating": "good", "query": None, "answer": None, "file_ids": []}


def export(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["eval", "export", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def selected(given: dict[str, Any], row: dict[str, Any], min_evidence: float | None = None) -> list[tuple[Any, ...]]:
    selection = select_questions([GIVEN | given] if given else [], [ROW | row], "default", min_evidence)
    return [(question.text, question.file_ids, question.answers) for question in selection.questions]


def wait_for_rows(folder: Path, count: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while sum(pq.read_metadata(path).num_rows for path in folder.glob("*/*.parquet")) < count:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_good_answer_makes_its_cited_files_relevant() -> None:
    assert selected({"rating": "good"}, {}) == [("How hot is the oven?", ["file-a"], [])]
    assert selected({"rating": "bad"}, {}) == []


def test_feedback_says_more_than_the_log() -> None:
    given = {"rating": "bad", "query": "How hot is it?", "answer": "250 degrees", "file_ids": ["file-b"]}

    assert selected(given, {}) == [("How hot is it?", ["file-b"], ["250 degrees"])]


@pytest.mark.parametrize("row", [{"evidence": 0.4}, {"evidence": None}, {"answerable": False}, {"cited_file_ids": []}])
def test_logged_answers_are_taken_on_request_if_they_had_evidence(row: dict[str, Any]) -> None:
    assert selected({}, {}) == []
    assert selected({}, {}, 0.5) == [("How hot is the oven?", ["file-a"], [])]
    assert selected({}, row, 0.5) == []


def test_a_question_that_was_asked_twice_is_in_the_set_once() -> None:
    rows = [ROW, ROW | {"request_id": "r2", "search_query": "how hot  is the OVEN?", "cited_file_ids": ["file-b"]}]

    (question,) = select_questions([], rows, "default", 0.5).questions

    assert (question.question_id, question.file_ids) == ("r1", ["file-a", "file-b"])


def test_a_set_is_exported_from_feedback_and_log(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    log = {"storage": {"data_dir": str(folder)}, "quality": {"log": {"share": 1, "flush_s": 0.1}}}
    server = Server(folder, settings=Settings.model_validate(log))
    server.start()
    url = f"http://127.0.0.1:{server.port}"
    try:
        with httpx.Client(base_url=url, trust_env=False) as http:
            answers = [
                http.post("/v1/query", json={"query": query}).json()
                for query in ("How hot does the oven get?", "How is the oven cleaned?")
            ]
            http.post("/v1/feedback", json={"id": answers[0]["id"], "rating": "good", "answer": "To 250 degrees."})
            http.post("/v1/feedback", json={"id": "req_lost", "rating": "bad"})
            (file_id,) = {citation["file_id"] for citation in answers[0]["citations"]}
        wait_for_rows(folder / "question_log", 2)
        judged = export(tmp_path / "judged", "--url", url, "--log", folder / "question_log")
        both = export(tmp_path / "both", "--url", url, "--log", folder / "question_log", "--min-evidence", 0)
        again = export(tmp_path / "judged", "--url", url, "--log", folder / "question_log")
        alone = export(tmp_path / "alone", "--url", url)
    finally:
        server.stop()

    assert judged[0] == both[0] == 0, (judged, both)
    assert "left out: 1 feedback without a question" in judged[1]
    questions = read_question_set(tmp_path / "judged")
    assert list(questions.queries.values()) == ["How hot does the oven get?"]
    assert questions.qrels == {answers[0]["id"]: {file_id: 1}}
    assert questions.answers == {answers[0]["id"]: ("To 250 degrees.",)}
    assert "The oven heats to 250 degrees." in questions.documents[0].text
    assert len(read_question_set(tmp_path / "both").queries) == 2
    assert again[0] == alone[0] == 2
    assert "is not empty" in again[1]
    assert "no question has a relevant file" in alone[1]
    assert not (tmp_path / "alone").exists()
