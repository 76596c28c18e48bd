"""`ragserve bench ingest` without servers: its files, its ratios and its tables."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.bench.ingest.documents import write_files
from serve.cli.bench.ingest.rows import (
    LANGCHAIN,
    OFFLINE,
    IngestPlan,
    QuestionRow,
    Row,
    question_table,
    table,
    write_json,
)
from serve.cli.driver.servers import OURS
from tests.serve.cli.eval.evaluation_samples import write_set

PLAN = IngestPlan(Path(), Path(), None, num_files=20, num_large=2, large_documents=5, threads=1)


def test_our_own_pages_are_files_of_one_paragraph_and_a_few_large_ones(tmp_path: Path) -> None:
    workload = write_files(PLAN, tmp_path / "files")

    names = sorted(path.name for path in workload.folder.iterdir())
    assert names == [*(f"document-{number:06}.txt" for number in range(20)), "large-000.txt", "large-001.txt"]
    assert (workload.folder / "large-000.txt").read_text().count("\n\n") == 4
    assert all(workload.questions)


def test_documents_that_repeat_differ(tmp_path: Path) -> None:
    questions = write_set(tmp_path / "set")

    workload = write_files(replace(PLAN, documents=questions, num_large=0), tmp_path / "files")

    texts = [path.read_text() for path in workload.folder.iterdir()]
    assert len(texts) == len(set(texts)) == 20


def test_a_missing_question_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="there is no"):
        write_files(replace(PLAN, documents=tmp_path), tmp_path / "files")


def test_the_embedder_is_compared_by_chunks_and_libraries_by_time() -> None:
    rows = [Row(OFFLINE, 10.0, 100), Row(OURS, 12.5, 100, {"Embedder": 400.4, "Ray": 90.0}), Row(LANGCHAIN, 20.0, 80)]

    assert table(rows) == [
        f"| {OFFLINE} | 10.0 | 100 | 10.0 | 0.80 (short) | 0.85 |  |",
        "| ragserve | 12.5 | 100 | 8.0 |  |  | Embedder 400, Ray 90 |",
        "| LangChain | 20.0 | 80 | 4.0 | 1.60 (short) | 2 |  |",
    ]


def test_questions_are_compared_with_those_of_an_idle_service() -> None:
    rows = [QuestionRow("nothing", 9, 50.0, 100.0), QuestionRow("ingestion", 8, 90.0, 210.0)]

    assert question_table(rows) == [
        "| nothing | 9 | 50 / 100 |  |  |",
        "| ingestion | 8 | 90 / 210 | 2.10 (short) | at most 2 |",
    ]


def test_results_are_written_with_their_facts(tmp_path: Path) -> None:
    write_json(tmp_path / "out" / "ingest.json", [Row(OURS, 1.0, 2)], [], {"cores": "2"})

    assert '"cores": "2"' in (tmp_path / "out" / "ingest.json").read_text()
