"""Write a question set in BEIR's layout."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors.requests import InvalidRequestError
from serve.cli.driver.question_set import Document
from serve.cli.eval.export.select import Question


def check_folder(folder: Path) -> None:
    """Raises InvalidRequestError for a folder with files in it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidRequestError(f"{folder} is not empty; choose a new folder", "folder")


def write_question_set(folder: Path, documents: Iterable[Document], questions: Sequence[Question]) -> int:
    """Write corpus.jsonl, queries.jsonl and qrels/test.tsv. Return the number of documents.

    A relevance names only documents that are there. Raises InvalidRequestError if no question has such a document.
    """
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    try:
        num_documents = _write_files(unfinished, documents, questions)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return num_documents


def _write_files(folder: Path, documents: Iterable[Document], questions: Sequence[Question]) -> int:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    document_ids = set[str]()
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as lines:
        for document in documents:
            document_ids.add(document.document_id)
            _write(lines, {"_id": document.document_id, "title": document.title, "text": document.text})
    measurable = [question for question in questions if document_ids.intersection(question.file_ids)]
    if not measurable:
        raise InvalidRequestError("no question has a relevant file in this vector store", "store")
    with (folder / "queries.jsonl").open("w", encoding="utf-8") as lines:
        for question in measurable:
            answers = {"answers": question.answers} if question.answers else {}
            _write(lines, {"_id": question.question_id, "text": question.text, **answers})
    with (folder / "qrels" / "test.tsv").open("w", encoding="utf-8") as lines:
        lines.write("query-id\tcorpus-id\tscore\n")
        for question in measurable:
            lines.writelines(
                f"{question.question_id}\t{file_id}\t1\n" for file_id in question.file_ids if file_id in document_ids
            )
    return len(document_ids)


def _write(lines: Any, row: Mapping[str, Any]) -> None:
    lines.write(json.dumps(row, ensure_ascii=False) + "\n")
