"""The questions and documents of `ragserve bench peers`: a set in BEIR's layout, or this repository's own pages."""

import base64
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from models.types.arrays import FloatArray
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.evaluated_service import Corpus, EvaluatedService
from serve.cli.driver.peers.settings import IndexedChunk
from serve.cli.driver.question_set import Document, read_question_set
from serve.cli.driver.workload import read_questions

ROOT = Path(__file__).parents[4]
OWN_QUESTIONS = Path(__file__).with_name("questions.txt")
MAX_QUESTIONS = 4096  # more than a run sends
TEXTS_PER_REQUEST = 64
TIMEOUT_S = 300.0  # for an answer: many at once on few cores
DEGRADED = "ragserve_degraded_answers_total"  # DEGRADED_ANSWERS of deployments.telemetry.metrics.questions
SEED = 0


@dataclass(frozen=True)
class Workload:
    """Documents as files of a vector store, and the questions in the order in which they are sent.

    With a prepared corpus there are no documents: it is in the database already.
    """

    corpus: Corpus
    questions: tuple[str, ...]
    prepared: PreparedCorpus | None = None


def read_workload(documents: Path | None, questions: Path | None) -> Workload:
    """Raises InvalidRequestError for a file or folder that is missing or broken, or has no question."""
    if documents is None:
        return Workload(own_corpus(ROOT), shuffled(read_questions(questions or OWN_QUESTIONS)))
    question_set = read_question_set(documents)
    texts = read_questions(questions) if questions else list(question_set.queries.values())
    return Workload(Corpus.of(question_set, "auto"), shuffled(texts))


def read_prepared(folder: Path) -> Workload:
    """Raises InvalidRequestError for a folder without a prepared corpus."""
    prepared = PreparedCorpus.open(folder)
    questions = tuple(question.text for question in prepared.questions)
    return Workload(Corpus("", {}, (), "auto"), questions, prepared)


def own_corpus(root: Path) -> Corpus:
    """This repository's README and documentation, as files in Markdown."""
    paths = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    names = {f"bench/{path.name}": path.name for path in paths}
    documents = tuple(Document(path.name, "", path.read_text(encoding="utf-8")) for path in paths)
    return Corpus("bench:peers", names, documents, "auto")


def shuffled(questions: list[str]) -> tuple[str, ...]:
    """At most MAX_QUESTIONS, always in the same order. In many sets the questions of a document follow each other."""
    mixed = list(questions)
    random.Random(SEED).shuffle(mixed)
    return tuple(mixed[:MAX_QUESTIONS])


class BenchedService(EvaluatedService):
    """Reads the index back from ragserve, so that its peers get the same. Raises RemoteError."""

    def __init__(self, url: str) -> None:
        super().__init__(url, TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def chunks(self, store_id: str) -> list[IndexedChunk]:
        """Every chunk of the store, as it is indexed."""
        files = [file["id"] for file in self.pages(f"/v1/vector_stores/{store_id}/files")]
        return [chunk for file_id in files for chunk in self._chunks_of(store_id, file_id)]

    def _chunks_of(self, store_id: str, file_id: str) -> list[IndexedChunk]:
        page = self._send("GET", f"/v1/vector_stores/{store_id}/files/{file_id}/content").json()
        return [IndexedChunk(chunk["chunk_id"], chunk["text"], chunk["context"]) for chunk in page["data"]]

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors (len(texts), dim) of documents, by the model that embedded the store."""
        starts = range(0, len(texts), TEXTS_PER_REQUEST)
        return np.concatenate([self._embed(texts[start : start + TEXTS_PER_REQUEST]) for start in starts])

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        body = {"input": list(texts), "encoding_format": "base64"}
        data = self._send("POST", "/v1/embeddings", json=body).json()["data"]
        return np.stack([np.frombuffer(base64.b64decode(item["embedding"]), np.float32) for item in data])

    def num_degraded(self) -> int:
        """Answers so far that are missing a stage."""
        lines = self._send("GET", "/metrics").text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(f"{DEGRADED}{{"))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON of an answer, from ragserve or from a peer."""
        return self._send("POST", path, json=body).json()
