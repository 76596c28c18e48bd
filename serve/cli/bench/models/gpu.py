"""`ragserve bench gpu`: the rows of `ragserve bench models` with every model on CUDA, and FAISS on the GPU.

Servers, load and rows are those of the CPU; the models run on the GPU. Without a GPU the command refuses.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors.configuration import ConfigError
from models.index.device_engine import DeviceFlatEngine
from models.types.arrays import FloatArray
from serve.cli.bench.models.offline import timed
from serve.cli.bench.models.rows import ModelsPlan, Row, skipped
from serve.cli.bench.models.run import run as run_models
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.index_workload import vectors_around
from serve.cli.driver.turns import Contender, run_interleaved

NUM_VECTORS, DIM, NUM_QUERIES, NUM_TRAINED = 1_000_000, 384, 4096, 200_000
NUM_CLUSTERS = 2_000
BATCH, K, NPROBE = 1024, 10, 32
KINDS = {"flat": "Flat", "IVF-PQ": "IVF4096,PQ48"}  # 8 dimensions a code of one byte
ON_CPU, ON_GPU, OURS = "FAISS on the CPU, all cores", "FAISS on the GPU", "ragserve, index: {kind: flat, gpu: true}"


def require_gpu() -> None:
    """Raises ConfigError where torch sees no CUDA device."""
    import torch

    if not torch.cuda.is_available():
        raise ConfigError("bench gpu", "this machine has no GPU that torch can use; `ragserve bench models` needs none")


def run(plan: ModelsPlan, folder: Path, report: Callable[[str], None]) -> Iterator[Row]:
    """FAISS first, while nothing else is on the GPU."""
    yield from faiss_rows(plan, report)
    yield from run_models(plan, folder, report)


def faiss_rows(plan: ModelsPlan, report: Callable[[str], None]) -> Iterator[Row]:
    """Searches of a million vectors, exact and by IVF-PQ, in batches, on the CPU and on the GPU."""
    import faiss

    if not getattr(faiss, "get_num_gpus", int)():
        yield skipped("search a million vectors", ON_GPU, "this FAISS has no GPU; install requirements/cuda.txt")
        return
    vectors, queries = make_vectors(NUM_VECTORS + NUM_QUERIES)
    for kind, factory in KINDS.items():
        what = f"search {NUM_VECTORS:,} vectors of {DIM} dimensions, {kind}, batches of {BATCH}"
        report(what)
        index = _build(faiss, factory, vectors)
        on_gpu = _to_gpu(faiss, index, is_exact=kind == "flat")
        contenders = [_searches(ON_CPU, index, queries), _searches(ON_GPU, on_gpu, queries)]
        results = run_interleaved(contenders, plan.turn_s, plan.num_turns)
        gain = results[ON_GPU].per_s / results[ON_CPU].per_s
        yield Row(what, ON_CPU, "queries/s", results[ON_CPU].per_s)
        yield Row(what, ON_GPU, "queries/s", results[ON_GPU].per_s, note=f"{gain:.1f} times the CPU's")
    engine = DeviceFlatEngine(DIM, "cuda")
    engine.add(vectors)
    results = run_interleaved([_searches(OURS, FaissApi(engine), queries)], plan.turn_s, plan.num_turns)
    what = f"search {NUM_VECTORS:,} vectors of {DIM} dimensions, flat, batches of {BATCH}"
    yield Row(what, OURS, "queries/s", results[OURS].per_s)


@dataclass(frozen=True)
class FaissApi:
    """Our engine with FAISS's own signature of `search`."""

    engine: DeviceFlatEngine

    def search(self, queries: FloatArray, k: int) -> Any:
        return self.engine.search(queries, k, None)


def make_vectors(count: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Unit vectors in clusters, as embeddings are: the corpus, and the last NUM_QUERIES as queries."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((NUM_CLUSTERS, DIM), np.float32)
    vectors = vectors_around(centres, count, generator)
    return vectors[:-NUM_QUERIES], vectors[-NUM_QUERIES:]


def _build(faiss: Any, factory: str, vectors: FloatArray) -> Any:
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:NUM_TRAINED])
    index.add(vectors)
    if factory.startswith("IVF"):
        index.nprobe = NPROBE
    return index


def _to_gpu(faiss: Any, index: Any, is_exact: bool) -> Any:
    """A copy on the first GPU; lookup tables of 48 codes need half precision to fit its shared memory."""
    options = faiss.GpuClonerOptions()
    options.useFloat16 = not is_exact
    copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index, options)
    if not is_exact:
        copy.nprobe = NPROBE
    return copy


def _searches(name: str, index: Any, queries: FloatArray) -> Contender:
    batches = [queries[start : start + BATCH] for start in range(0, len(queries), BATCH)]

    def turn(seconds: float) -> LoadResult:
        passes = timed(lambda number: index.search(batches[number % len(batches)], K), seconds)
        return LoadResult(passes * BATCH, 0, 0, 0.0, 0.0, 0.0)

    return Contender(name, turn)
