"""What MiniLM costs by engine: `OMP_NUM_THREADS=1 PYTHONPATH=. python serve/cli/bench/engines/run.py`.

Prints the table of docs/models.md, its quality column aside: `serve/cli/bench/retrieval/run.py` has that.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from models.catalog import Catalog, CatalogEntry
from models.embedding.base import EmbeddingModel
from models.embedding.offline import embed_documents, embed_queries
from models.types import FloatArray

ENGINES = {
    "torch, bfloat16": {"engine": "torch"},
    "OpenVINO, bfloat16": {"engine": "openvino"},
    "OpenVINO, int8": {"engine": "openvino", "precision": "int8"},
}
WORDS = ["tide", "moon", "harbour", "storm", "survey", "chart", "current", "basin", "pilot", "water"]
QUERIES = [f"when does the {WORDS[number % 10]} reach the {WORDS[number // 10]}?" for number in range(32)]
CHUNKS = [" ".join(WORDS[(number + place) % 10] for place in range(168)) for number in range(12)]
TURNS = 15


def loaded(options: dict[str, str]) -> EmbeddingModel:
    minilm = Catalog.open().entry("embedding", "minilm")
    entry = CatalogEntry(kind=minilm.kind, licence=minilm.licence, options=minilm.options | options)
    return Catalog({"embedding": {"measured": entry}}).load("embedding", "measured")


def median_s(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def row(name: str, model: EmbeddingModel, reference: FloatArray) -> str:
    one = median_s(lambda: embed_queries(model, QUERIES[:1]))
    many = len(QUERIES) / median_s(lambda: embed_queries(model, QUERIES))
    chunks = len(CHUNKS) / median_s(lambda: embed_documents(model, CHUNKS))
    cosine = float(np.min(np.sum(embed_queries(model, QUERIES) * reference, axis=1)))
    return f"| {name} | {one * 1e3:.1f} | {many:.0f} | {chunks:.0f} | {cosine:.4f} |"


def main() -> None:
    models = {name: loaded(options) for name, options in ENGINES.items()}
    reference = embed_queries(models["torch, bfloat16"], QUERIES)
    head = "| | one query, ms | queries/s, 32 a pass | 170-token chunks/s, 12 a pass | least cosine with torch |"
    rows = (row(name, model, reference) for name, model in models.items())
    sys.stdout.write("\n".join([head, "|---|---|---|---|---|", *rows]) + "\n")


if __name__ == "__main__":
    main()
