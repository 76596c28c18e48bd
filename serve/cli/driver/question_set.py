"""Question sets in BEIR's layout: corpus.jsonl, queries.jsonl and qrels, plain or gzipped, read whole and checked."""

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from models.errors.requests import InvalidRequestError

Qrels = dict[str, dict[str, int]]
Relevance = tuple[str, str, int]
DIGEST_CHARS = 12


@dataclass(frozen=True)
class Document:
    document_id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        """The text that is uploaded and indexed: the title on its own line, if there is one, then the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True)
class LeftOut:
    """Counts of queries and documents that cannot be measured.

    `unjudged_queries` have no relevant document and are not searched. `unknown_queries` and `unknown_documents` are in
    the qrels alone; a relevant document that is not in the corpus counts as missed. `blank_documents` have no text and
    are not uploaded.
    """

    unjudged_queries: int = 0
    unknown_queries: int = 0
    unknown_documents: int = 0
    blank_documents: int = 0


@dataclass(frozen=True)
class QuestionSet:
    """`queries`: texts of the judged queries by id, in the file's order; `qrels`: relevance of documents to each.

    `answers`: the known answers of a query, for the queries that have some.
    """

    name: str
    documents: tuple[Document, ...]
    queries: dict[str, str]
    qrels: Qrels
    left_out: LeftOut
    answers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A hash of the documents: the same for the same ids and texts in the same order."""
        sha = hashlib.sha256()
        for document in self.documents:
            sha.update(json.dumps([document.document_id, document.content]).encode())
        return sha.hexdigest()[:DIGEST_CHARS]

    def sample(self, num_queries: int, seed: int) -> "QuestionSet":
        """The same documents with at most `num_queries` of the queries; the same ones for the same seed."""
        if num_queries >= len(self.queries):
            return self
        chosen = set(random.Random(seed).sample(list(self.queries), num_queries))
        queries = {query_id: text for query_id, text in self.queries.items() if query_id in chosen}
        return replace(self, queries=queries, qrels={query_id: self.qrels[query_id] for query_id in queries})

    def limit(self, num_documents: int) -> "QuestionSet":
        """At most `num_documents` of the documents, those that are relevant to the queries first."""
        relevant = {name for judged in self.qrels.values() for name, relevance in judged.items() if relevance > 0}
        ranked = sorted(self.documents, key=lambda document: document.document_id not in relevant)
        return replace(self, documents=tuple(ranked[:num_documents]))


def read_question_set(folder: Path, split: str = "test") -> QuestionSet:
    """Reads the set in a folder. Relevance is in qrels/<split>.tsv, or in qrels.tsv if there is no folder qrels.

    Raises InvalidRequestError, with the file and the line, for anything missing or broken.
    """
    corpus = _read_corpus(_lines_file(folder, "corpus"))
    texts, answers = _read_queries(_lines_file(folder, "queries"))
    qrels = _read_qrels(_qrels_file(folder, split))
    judged = {
        query_id: text for query_id, text in texts.items() if max(qrels.get(query_id, {}).values(), default=0) > 0
    }
    if not judged:
        raise InvalidRequestError(f"{folder}: no query has a relevant document in its qrels")
    documents = tuple(document for document in corpus if document.content.strip())
    corpus_ids = {document.document_id for document in corpus}
    judged_ids = {document_id for relevances in qrels.values() for document_id in relevances}
    left_out = LeftOut(
        unjudged_queries=len(texts) - len(judged),
        unknown_queries=len(qrels.keys() - texts.keys()),
        unknown_documents=len(judged_ids - corpus_ids),
        blank_documents=len(corpus) - len(documents),
    )
    judgements = {key: qrels[key] for key in judged}
    return QuestionSet(folder.resolve().name, documents, judged, judgements, left_out, answers)


def query_rows(folder: Path) -> list[dict[str, Any]]:
    """Every query of the set with all its fields, in the file's order. Raises InvalidRequestError."""
    return [row for _, row in json_lines(_lines_file(folder, "queries"))]


def _read_corpus(path: Path) -> list[Document]:
    documents = {}
    for where, line in json_lines(path):
        document = Document(_string(where, line, "_id"), line.get("title") or "", _string(where, line, "text"))
        if not isinstance(document.title, str):
            raise InvalidRequestError(f"{where}: `title` is not a string")
        if not document.document_id or document.document_id in documents:
            raise InvalidRequestError(f"{where}: the _id {document.document_id!r} is empty or a duplicate")
        documents[document.document_id] = document
    return list(documents.values())


def _read_queries(path: Path) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The texts, and the known answers of those queries that have a list `answers`."""
    queries: dict[str, str] = {}
    answers: dict[str, tuple[str, ...]] = {}
    for where, line in json_lines(path):
        query_id, text = _string(where, line, "_id"), _string(where, line, "text")
        if not query_id or query_id in queries:
            raise InvalidRequestError(f"{where}: the _id {query_id!r} is empty or a duplicate")
        if not text.strip():
            raise InvalidRequestError(f"{where}: the text of query {query_id!r} is empty")
        queries[query_id] = text
        if isinstance(line.get("answers"), list):
            answers[query_id] = tuple(text for text in line["answers"] if isinstance(text, str) and text.strip())
    return queries, answers


def _read_qrels(path: Path) -> Qrels:
    qrels: Qrels = {}
    for number, line in enumerate(_lines(path), 1):
        row = _qrels_row(line)
        if row is None and number > 1:  # the first line may be a header
            raise InvalidRequestError(
                f"{path}:{number}: expected query-id, corpus-id and a whole number, tab-separated"
            )
        if row is None:
            continue
        query_id, document_id, relevance = row
        if qrels.setdefault(query_id, {}).setdefault(document_id, relevance) != relevance:
            raise InvalidRequestError(f"{path}:{number}: {query_id} and {document_id} already have another relevance")
    return qrels


def _qrels_row(line: str) -> Relevance | None:
    """The three fields; None for an invalid line."""
    fields = line.rstrip("\r\n").split("\t")
    if len(fields) != 3 or not all(fields):
        return None
    try:
        return fields[0], fields[1], int(fields[2])
    except ValueError:
        return None


def _lines_file(folder: Path, name: str) -> Path:
    tried = [folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"]
    return _first_file(tried)


def _qrels_file(folder: Path, split: str) -> Path:
    tried = [folder / "qrels" / f"{split}.tsv"]
    if not (folder / "qrels").is_dir():
        tried.append(folder / "qrels.tsv")
    return _first_file(tried)


def _first_file(tried: list[Path]) -> Path:
    for path in tried:
        if path.is_file():
            return path
    siblings = sorted(path.name for path in tried[0].parent.glob("*")) if tried[0].parent.is_dir() else []
    beside = f"; {tried[0].parent} has {', '.join(siblings)}" if siblings else ""
    raise InvalidRequestError(f"there is no {' or '.join(map(str, tried))}{beside}")


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of each line that is not blank."""
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            parsed = json.loads(line)
        except ValueError as error:
            raise InvalidRequestError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(parsed, dict):
            raise InvalidRequestError(f"{path}:{number}: expected an object, found {line.strip()[:40]}")
        yield f"{path}:{number}", parsed


def _string(where: str, line: dict[str, Any], key: str) -> str:
    value = line.get(key)
    if not isinstance(value, str):
        raise InvalidRequestError(f"{where}: `{key}` is missing or not a string")
    return value


def _lines(path: Path) -> Iterator[str]:
    try:
        with _open(path) as lines:
            yield from lines
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path}: cannot be read: {error}") from None


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
