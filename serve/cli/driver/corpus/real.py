"""The real part of a benchmark's corpus: the chunks and the questions of question sets in BEIR's layout."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.types.chunks import Chunk
from serve.cli.driver.question_set import QuestionSet, read_question_set

SEED = 0
DIGEST_CHARS = 12


@dataclass(frozen=True)
class SetQuestion:
    """A question of a set, and the first document that is relevant to it, as `set/document`."""

    text: str
    document: str


@dataclass(frozen=True)
class RealCorpus:
    """The chunks of all sets, in order, and their questions: each text once, in an order that is always the same."""

    chunks: tuple[Chunk, ...]
    questions: tuple[SetQuestion, ...]

    @property
    def digest(self) -> str:
        """A hash of the chunks: the same for the same texts in the same order."""
        sha = hashlib.sha256()
        for chunk in self.chunks:
            sha.update(json.dumps([chunk.context, chunk.text]).encode())
        return sha.hexdigest()[:DIGEST_CHARS]


def read_real(folders: Sequence[Path], parser: FileParser, options: ChunkingOptions, max_chunks: int) -> RealCorpus:
    """The first chunks of each set in turn, `max_chunks` in all, cut as the service cuts files.

    Raises InvalidRequestError for a set that is missing or broken.
    """
    sets = [read_question_set(folder) for folder in folders]
    per_set = -(-max_chunks // max(1, len(sets)))
    chunks = [chunk for questions in sets for chunk in _first(_chunks(questions, parser, options), per_set)]
    return RealCorpus(tuple(chunks[:max_chunks]), tuple(_questions(sets)))


def _chunks(questions: QuestionSet, parser: FileParser, options: ChunkingOptions) -> Iterator[Chunk]:
    for document in questions.documents:
        yield from parser(document.content.encode(), f"{document.document_id}.txt", options).chunks


def _first(chunks: Iterator[Chunk], limit: int) -> list[Chunk]:
    return [chunk for chunk, _ in zip(chunks, range(limit), strict=False)]


def _questions(sets: Sequence[QuestionSet]) -> list[SetQuestion]:
    """Mixed: in many sets the questions about a document follow each other."""
    by_text: dict[str, SetQuestion] = {}
    for questions in sets:
        for query_id, text in questions.queries.items():
            document = next(name for name, relevance in questions.qrels[query_id].items() if relevance > 0)
            by_text.setdefault(" ".join(text.lower().split()), SetQuestion(text, f"{questions.name}/{document}"))
    mixed = list(by_text.values())
    random.Random(SEED).shuffle(mixed)
    return mixed
