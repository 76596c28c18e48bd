"""A model called offline, in a process of its own: the highest throughput of its forward passes on this machine.

`python -m serve.cli.bench.models.offline` reads a Job as JSON from the first line of its standard input and writes its
memory. Each further line is a turn: `NAME SECONDS` in, `{"per_s": …, "how": …}` out. The first turn of a workload tries
every library and batch size, and uses the fastest from then on.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil

from models.catalog import Catalog
from models.compute import passes_at_once
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.offline import complete
from models.source import SourceConfig, choose_device, choose_dtype, fetch_folder
from models.tokens.encoding import Encoding

BATCH_SIZES = (8, 16, 32, 64, 128)
GPU_BATCH_SIZES = (32, 64, 128, 256, 512, 1024)
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
PASS_TEXTS, PASS_REQUESTS = 128, 4  # sorted by length, as in a bulk job

Work = Callable[[Sequence[Any]], object]


@dataclass(frozen=True)
class Job:
    """A model and its workloads: files with a JSON list of texts, or of [query, texts] for a reranker.

    `try_s`: time for each library and batch size.
    """

    task: Literal["embedding", "reranking"]
    alias: str
    catalog: str | None
    workloads: dict[str, str]
    try_s: float = 1.5


@dataclass(frozen=True)
class Memory:
    """Megabytes: of the model's weights on disk, and of a process that has nothing but the model."""

    weights_mb: float
    pss_mb: float


@dataclass(frozen=True)
class OfflineTurn:
    """Texts, or pairs, a second, with the library and batch size in `how`."""

    per_s: float
    how: str


class Offline:
    """The process, seen from the benchmark."""

    def __init__(self, process: "subprocess.Popen[str]", memory: Memory) -> None:
        self._process, self.memory = process, memory

    def turn(self, workload: str, seconds: float) -> OfflineTurn:
        return OfflineTurn(**_ask(self._process, f"{workload} {seconds}"))


@contextmanager
def offline(job: Job, threads: int) -> Iterator[Offline]:
    """The model in a process of its own, with this number of threads."""
    process = subprocess.Popen(
        [sys.executable, "-m", "serve.cli.bench.models.offline"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)},
    )
    try:
        yield Offline(process, Memory(**_ask(process, json.dumps(asdict(job)))))
    finally:
        process.communicate()  # closes its standard input, and the process ends


def _ask(process: "subprocess.Popen[str]", line: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the offline process ended with {process.wait()}")
    return json.loads(answer)


class Bench:
    """Inside the process: the model, and the fastest way to call it for each workload."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._catalog = Catalog.open(Path(job.catalog) if job.catalog else None)
        self._config = self._catalog.config(job.task, job.alias)
        self._model: Any = self._catalog.load(job.task, job.alias)
        self._pool = ThreadPoolExecutor(passes_at_once(self._model) or 1)
        self._best: dict[str, tuple[str, Work]] = {}
        self._ways: dict[str, Work] = {}

    def memory(self) -> Memory:
        return Memory(weights_mb(self._folder()), psutil.Process().memory_full_info().pss / 1e6)

    def turn(self, workload: str, seconds: float) -> OfflineTurn:
        items = json.loads(Path(self._job.workloads[workload]).read_text())
        if workload not in self._best:
            self._ways = self._ways or self._all_ways()
            rates = {how: self._rate(work, items, self._job.try_s) for how, work in self._ways.items()}
            how = max(rates, key=rates.__getitem__)
            self._best[workload] = (how, self._ways[how])
        how, work = self._best[workload]
        return OfflineTurn(self._rate(work, items, seconds), how)

    def _rate(self, work: Work, items: Sequence[Any], seconds: float) -> float:
        """Texts, or pairs, a second; a quarter of a pass warms up and does not count."""
        items_per_pass = PASS_TEXTS if self._job.task == "embedding" else PASS_REQUESTS
        passes = [items[start : start + items_per_pass] for start in range(0, len(items), items_per_pass)]
        work(items[: items_per_pass // 4])
        passes_per_s = timed(lambda number: work(passes[number % len(passes)]), seconds)
        # All passes but the last have the same number of texts.
        return passes_per_s * len(items) / len(passes) * (1 if self._job.task == "embedding" else len(items[0][1]))

    def _all_ways(self) -> dict[str, Work]:
        """Two libraries, each with several batch sizes."""
        device = choose_device(self._config.device) if isinstance(self._config, SourceConfig) else "cpu"
        sizes = GPU_BATCH_SIZES if device == "cuda" else BATCH_SIZES
        ours, theirs = (
            (self._embed, self._sentence_transformers())
            if self._job.task == "embedding"
            else (self._rerank, self._cross_encoder())
        )
        runs_on = getattr(self._model, "runs_on", "")
        ways: dict[str, Work] = {
            f"ragserve's model, {runs_on}, batches of {size}": partial(ours, size) for size in sizes
        }
        if theirs is not None:
            ways |= {f"sentence-transformers, batches of {size}": partial(theirs, size) for size in sizes}
        return ways

    def _embed(self, size: int, texts: Sequence[str]) -> object:
        return self._forward_sorted(self._model.tokenize_documents(texts), size)

    def _rerank(self, size: int, items: Sequence[tuple[str, list[str]]]) -> object:
        model: RerankingModel = self._model
        works = [model.tokenize(RerankRequest(query, tuple(texts))) for query, texts in items]
        outputs = iter(self._forward_sorted([encoding for work in works for encoding in work.encodings], size))
        return [complete(model, work, [next(outputs) for _ in work.encodings]) for work in works]

    def _forward_sorted(self, encodings: Sequence[Encoding], size: int) -> list[Any]:
        """One output an encoding, in order, by forward passes over encodings of similar length."""
        order = sorted(range(len(encodings)), key=lambda place: len(encodings[place]))
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        passes = self._pool.map(lambda places: self._model.forward([encodings[at] for at in places]), batches)
        outputs: list[Any] = [None] * len(encodings)
        for places, results in zip(batches, passes, strict=True):
            for place, output in zip(places, results, strict=True):
                outputs[place] = output
        return outputs

    def _sentence_transformers(self) -> Callable[[int, Sequence[str]], object] | None:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(self._folder()), **self._placed())
        model.max_seq_length = self._model.max_tokens
        return lambda size, texts: model.encode(
            list(texts), batch_size=size, normalize_embeddings=True, show_progress_bar=False
        )

    def _cross_encoder(self) -> Callable[[int, Sequence[Any]], object] | None:
        from sentence_transformers import CrossEncoder

        if self._catalog.entry("reranking", self._job.alias).kind == "late_interaction":
            return None
        model = CrossEncoder(str(self._folder()), **self._placed())
        return lambda size, items: model.predict(
            [(query, text) for query, texts in items for text in texts], batch_size=size, show_progress_bar=False
        )

    def _folder(self) -> Path:
        assert isinstance(self._config, SourceConfig)
        return fetch_folder(self._job.alias, self._config, ["*"])

    def _placed(self) -> dict[str, Any]:
        """The device and precision of the served model."""
        assert isinstance(self._config, SourceConfig)
        device = choose_device(self._config.device)
        return {"device": device, "model_kwargs": {"dtype": choose_dtype(self._config.dtype, device)}}


def timed(work: Callable[[int], object], seconds: float) -> float:
    """Calls `work` with 0, 1, 2, … for `seconds`, and returns calls a second."""
    start, number = time.perf_counter(), 0
    while not number or time.perf_counter() - start < seconds:
        work(number)
        number += 1
    return number / (time.perf_counter() - start)


def weights_mb(folder: Path) -> float:
    """Size of a checkpoint's weights, in one of its formats."""
    for suffix in (".safetensors", ".bin"):
        if sizes := [path.stat().st_size for path in folder.rglob(f"*{suffix}")]:
            return sum(sizes) / 1e6
    return 0.0


def main() -> None:
    """A line in, a line out, until standard input ends."""
    # Whatever libraries print goes to standard error, not between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    bench = Bench(Job(**json.loads(sys.stdin.readline())))
    answers.write(json.dumps(asdict(bench.memory())) + "\n")
    for line in sys.stdin:
        workload, _, seconds = line.strip().rpartition(" ")
        answers.write(json.dumps(asdict(bench.turn(workload, float(seconds)))) + "\n")


if __name__ == "__main__":
    main()
