"""Rankings and judgements as files for trec_eval, to check the metrics with another tool."""

from collections.abc import Iterator
from pathlib import Path

from models.errors.requests import InvalidRequestError
from serve.cli.driver.question_set import Qrels, QuestionSet
from serve.cli.eval.measures import Rankings, scored


def check_ids(questions: QuestionSet) -> None:
    """Raises InvalidRequestError for an id with white space: it separates the fields of these formats."""
    judged = (document_id for row in questions.qrels.values() for document_id in row)
    documents = (document.document_id for document in questions.documents)
    for record_id in (*questions.queries, *documents, *judged):
        if record_id.split() != [record_id]:
            raise InvalidRequestError(
                f"{questions.name}: the id {record_id!r} has white space; a TREC file cannot hold it"
            )


def write_run(path: Path, rankings: Rankings, tag: str) -> None:
    """One line per document: query, Q0, document, rank, score, tag. The score only keeps the order."""
    _write(
        path,
        (
            (query_id, "Q0", document_id, str(rank), f"{score:g}", tag)
            for query_id, ranking in rankings.items()
            for rank, (document_id, score) in enumerate(scored(ranking).items(), 1)
        ),
    )


def write_qrels(path: Path, qrels: Qrels) -> None:
    """One line per judgement: query, 0, document, relevance."""
    _write(
        path,
        (
            (query_id, "0", document_id, str(relevance))
            for query_id, judged in qrels.items()
            for document_id, relevance in judged.items()
        ),
    )


def _write(path: Path, rows: Iterator[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(" ".join(row) + "\n" for row in rows)
