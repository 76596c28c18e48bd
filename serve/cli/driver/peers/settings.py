"""What the peers of `ragserve bench peers` share, so that each does the same work: models, chunks, numbers, the answer.

Runs in the peers' own environments. Of ragserve it imports the extractive model, whose imports are numpy and pydantic.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.types import ChatMessage, GenerationRequest, Passage

VARIABLE = "RAGSERVE_BENCH_PEER"  # names the file of the settings
BATCH_SIZE = 32  # pairs of a forward pass: all candidates of a question fit in
MAX_PAIR_TOKENS = 512  # of a question and a candidate together, as ragserve's cross-encoders read them


@dataclass(frozen=True)
class PeerSettings:
    """Folders of the models, files of the chunks and their vectors, and how many of them a question goes through.

    `candidates`: of each search, and of the two fused that are reranked. `dtype`: of both models' weights.
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
    """A chunk as ragserve stored it: `text`, and the headings above it."""

    chunk_id: str
    text: str
    context: str

    @property
    def indexed_text(self) -> str:
        """What ragserve embeds, searches and reranks."""
        return f"{self.context}\n{self.text}" if self.context else self.text


def write_chunks(path: Path, chunks: Sequence[IndexedChunk]) -> Path:
    """A chunk a line."""
    path.write_text("".join(json.dumps(asdict(chunk)) + "\n" for chunk in chunks), encoding="utf-8")
    return path


def read_chunks(settings: PeerSettings) -> list[IndexedChunk]:
    with Path(settings.chunks).open(encoding="utf-8") as lines:
        return [IndexedChunk(**json.loads(line)) for line in lines]


def read_vectors(settings: PeerSettings) -> list[list[float]]:
    """The vector of each chunk, in their order, as ragserve's own embedder made it."""
    vectors: list[list[float]] = np.load(settings.vectors).tolist()
    return vectors


class ExtractiveAnswer:
    """ragserve's own default generator, called as a function."""

    def __init__(self, chunks: Sequence[IndexedChunk]) -> None:
        self._model = ExtractiveModel("extractive", ExtractiveConfig())
        self._chunks = {chunk.chunk_id: chunk for chunk in chunks}

    def answer(self, question: str, chunk_ids: Sequence[str]) -> str:
        """Quotes from these chunks, best first. Blocks: not to be called on an event loop."""
        return asyncio.run(self._answer(question, chunk_ids))

    async def _answer(self, question: str, chunk_ids: Sequence[str]) -> str:
        passages = tuple(_passage(key, self._chunks[chunk_id]) for key, chunk_id in enumerate(chunk_ids))
        request = GenerationRequest("", (ChatMessage("user", question),), passages)
        return "".join([delta.text async for delta in self._model.stream(request)])

    def response(self, question: str, chunk_ids: Sequence[str]) -> dict[str, object]:
        """The body that every peer answers with, as far as ragserve's callers read of its own."""
        passages = [{"chunk_id": chunk_id, "text": self._chunks[chunk_id].text} for chunk_id in chunk_ids]
        return {"answer": self.answer(question, chunk_ids), "passages": passages}


def _passage(key: int, chunk: IndexedChunk) -> Passage:
    return Passage(key, chunk.chunk_id, "", "", chunk.text, 0, len(chunk.text), chunk.context)
