"""`ragserve bench engines`: the embedding engines side by side, with the same weights."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.catalog import Catalog
from models.embedding.base import EmbeddingModel
from models.embedding.offline import embed_documents, embed_queries
from models.types.arrays import FloatArray

REFERENCE = "torch, bfloat16"
ENGINES = {
    REFERENCE: {"engine": "torch"},
    "OpenVINO, bfloat16": {"engine": "openvino"},
    "OpenVINO, int8": {"engine": "openvino", "precision": "int8"},
}
WORDS = ["tide", "moon", "harbour", "storm", "survey", "chart", "current", "basin", "pilot", "water"]
QUERIES = [f"when does the {WORDS[number % 10]} reach the {WORDS[number // 10]}?" for number in range(32)]
CHUNKS = [" ".join(WORDS[(number + place) % 10] for place in range(168)) for number in range(12)]
HEAD = (
    "| | one query, ms | queries/s, 32 a pass | 170-token chunks/s, 12 a pass | least cosine with torch |\n"
    "|---|---|---|---|---|"
)


@dataclass(frozen=True)
class EngineRow:
    """One engine. `least_cosine` is between its query vectors and those of torch."""

    engine: str
    query_s: float
    queries_per_s: float
    chunks_per_s: float
    least_cosine: float

    def line(self) -> str:
        rates = f"{self.query_s * 1e3:.1f} | {self.queries_per_s:.0f} | {self.chunks_per_s:.0f}"
        return f"| {self.engine} | {rates} | {self.least_cosine:.4f} |"


def run(num_turns: int) -> Iterator[EngineRow]:
    """A row an engine."""
    models = {name: _load(options) for name, options in ENGINES.items()}
    reference = embed_queries(models[REFERENCE], QUERIES)
    for name, model in models.items():
        yield _measure(name, model, reference, num_turns)


def _load(options: dict[str, str]) -> EmbeddingModel:
    minilm = Catalog.open().entry("embedding", "minilm")
    entry = minilm.model_copy(update={"options": minilm.options | options})
    return Catalog({"embedding": {"measured": entry}}).load("embedding", "measured")


def _measure(name: str, model: EmbeddingModel, reference: FloatArray, num_turns: int) -> EngineRow:
    return EngineRow(
        name,
        _median_s(lambda: embed_queries(model, QUERIES[:1]), num_turns),
        len(QUERIES) / _median_s(lambda: embed_queries(model, QUERIES), num_turns),
        len(CHUNKS) / _median_s(lambda: embed_documents(model, CHUNKS), num_turns),
        float(np.min(np.sum(embed_queries(model, QUERIES) * reference, axis=1))),
    )


def _median_s(call: Callable[[], object], num_turns: int) -> float:
    """The first call warms up and does not count."""
    call()
    times = []
    for _ in range(num_turns):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
