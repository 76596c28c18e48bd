"""What `ragserve bench peers` asks, and of which documents: a set in BEIR's layout, or this repository's own pages."""

import base64
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from models.errors import InvalidRequestError
from models.types import FloatArray
from serve.cli.driver.evaluated_service import Corpus, EvaluatedService
from serve.cli.driver.peers.settings import IndexedChunk
from serve.cli.driver.question_set import Document, read_question_set

ROOT = Path(__file__).parents[4]
OWN_QUESTIONS = Path(__file__).with_name("questions.txt")
MAX_QUESTIONS = 4096  # more than a run asks
TEXTS_A_REQUEST = 64
TIMEOUT_S = 300.0  # for one answer: of many at once on few cores
DEGRADED = "ragserve_degraded_answers_total"  # deployments.telemetry.metrics.DEGRADED_ANSWERS
SEED = 0


@dataclass(frozen=True)
class Workload:
    """Documents as files of a vector store, and the questions in the order in which they are asked."""

    corpus: Corpus
    questions: tuple[str, ...]


def read_workload(documents: Path | None, questions: Path | None) -> Workload:
    """Raises InvalidRequestError for a file or folder that is missing or broken, or has no question."""
    if documents is None:
        return Workload(own_corpus(ROOT), read_questions(questions or OWN_QUESTIONS))
    found = read_question_set(documents)
    asked = read_questions(questions) if questions else shuffled(list(found.queries.values()))
    return Workload(Corpus.of(found, "auto"), asked)


def own_corpus(root: Path) -> Corpus:
    """This repository's README and documentation, as files in Markdown."""
    paths = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    names = {f"bench/{path.name}": path.name for path in paths}
    documents = tuple(Document(path.name, "", path.read_text(encoding="utf-8")) for path in paths)
    return Corpus("bench:peers", names, documents, "auto")


def read_questions(path: Path) -> tuple[str, ...]:
    """A question a line; blank lines are none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path}: cannot be read: {error}") from None
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise InvalidRequestError(f"{path} has no question: it is one a line")
    return shuffled(questions)


def shuffled(questions: list[str]) -> tuple[str, ...]:
    """At most MAX_QUESTIONS in an order that is always the same: those of one document stand together in many sets."""
    mixed = list(questions)
    random.Random(SEED).shuffle(mixed)
    return tuple(mixed[:MAX_QUESTIONS])


class BenchedService(EvaluatedService):
    """What the benchmark reads back from ragserve, so that its peers get the same index. Raises RemoteError."""

    def __init__(self, url: str) -> None:
        super().__init__(url, TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def chunks(self, store_id: str) -> list[IndexedChunk]:
        """Every chunk of the store, as it is searched."""
        files = [file["id"] for file in self.pages(f"/v1/vector_stores/{store_id}/files")]
        return [chunk for file_id in files for chunk in self._chunks_of(store_id, file_id)]

    def _chunks_of(self, store_id: str, file_id: str) -> list[IndexedChunk]:
        page = self._send("GET", f"/v1/vector_stores/{store_id}/files/{file_id}/content").json()
        return [IndexedChunk(part["chunk_id"], part["text"], part["context"]) for part in page["data"]]

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors (len(texts), dim) of documents, by the model that embedded the store."""
        parts = [texts[start : start + TEXTS_A_REQUEST] for start in range(0, len(texts), TEXTS_A_REQUEST)]
        return np.concatenate([self._embed(part) for part in parts])

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        asked = {"input": list(texts), "encoding_format": "base64"}
        data = self._send("POST", "/v1/embeddings", json=asked).json()["data"]
        return np.stack([np.frombuffer(base64.b64decode(one["embedding"]), np.float32) for one in data])

    def num_degraded(self) -> int:
        """Answers so far that had to do without a stage."""
        lines = self._send("GET", "/metrics").text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(f"{DEGRADED}{{"))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer's JSON, of whatever server this is."""
        return self._send("POST", path, json=body).json()
