"""The settings that the peers of `ragserve bench peers` share, so that each does the same work.

Runs in the peers' own environments. It imports ragserve's extractive model, which needs numpy and pydantic alone.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationRequest

VARIABLE = "RAGSERVE_BENCH_PEER"  # the path of the settings file
BATCH_SIZE = 32  # pairs of a forward pass: all candidates of a question fit
MAX_PAIR_TOKENS = 512  # of a question and a candidate together, as ragserve's cross-encoders read them


@dataclass(frozen=True)
class PeerSettings:
    """Folders of the models, files of the chunks and of their vectors, and the sizes of a query.

    `candidates`: hits of each search, and of the fused list that is reranked. `dtype`: of both models' weights.
    """

    encoder: str
    cross_encoder: str
    chunks: str
    vectors: str
    candidates: int
    top_k: int
    dtype: str

    @staticmethod
    def of_environment() -> "PeerSettings":
        return PeerSettings(**json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8")))

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


@dataclass(frozen=True)
class IndexedChunk:
    """A chunk as ragserve stores it: `text`, and in `context` the headings above it."""

    chunk_id: str
    text: str
    context: str

    @property
    def indexed_text(self) -> str:
        """The text that ragserve embeds, searches and reranks."""
        return f"{self.context}\n{self.text}" if self.context else self.text


def write_chunks(path: Path, chunks: Sequence[IndexedChunk]) -> Path:
    """Writes a chunk a line."""
    path.write_text("".join(json.dumps(asdict(chunk)) + "\n" for chunk in chunks), encoding="utf-8")
    return path


def read_chunks(settings: PeerSettings) -> list[IndexedChunk]:
    with Path(settings.chunks).open(encoding="utf-8") as lines:
        return [IndexedChunk(**json.loads(line)) for line in lines]


def read_vectors(settings: PeerSettings) -> list[list[float]]:
    """The vector of each chunk, in the order of the chunks, from ragserve's own embedder."""
    vectors: list[list[float]] = np.load(settings.vectors).tolist()
    return vectors


class ExtractiveAnswer:
    """ragserve's own default generator, called as a function."""

    def __init__(self, chunks: Sequence[IndexedChunk]) -> None:
        self._model = ExtractiveModel("extractive", ExtractiveConfig())
        self._chunks = {chunk.chunk_id: chunk for chunk in chunks}

    def answer(self, question: str, chunk_ids: Sequence[str]) -> str:
        """Quotes from these chunks, best first. Blocks: never call it on an event loop."""
        return asyncio.run(self._answer(question, chunk_ids))

    async def _answer(self, question: str, chunk_ids: Sequence[str]) -> str:
        passages = tuple(_passage(key, self._chunks[chunk_id]) for key, chunk_id in enumerate(chunk_ids))
        request = GenerationRequest("", (ChatMessage("user", question),), passages)
        return "".join([delta.text async for delta in self._model.stream(request)])

    def response(self, question: str, chunk_ids: Sequence[str]) -> dict[str, object]:
        """The body of every peer's answer: the fields of ragserve's own that the benchmark reads."""
        passages = [{"chunk_id": chunk_id, "text": self._chunks[chunk_id].text} for chunk_id in chunk_ids]
        return {"answer": self.answer(question, chunk_ids), "passages": passages}


def _passage(key: int, chunk: IndexedChunk) -> Passage:
    return Passage(key, chunk.chunk_id, "", "", chunk.text, 0, len(chunk.text), chunk.context)
