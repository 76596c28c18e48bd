"""A model called offline, in a process of its own: the most that its forward passes give on this machine.

`python -m serve.cli.bench.models.offline` reads a Job as JSON from the first line of its standard input, answers with
the memory that it takes, and then gives a turn a line: `NAME SECONDS` in, `{"per_s": …, "how": …}` out. The first turn of
a workload tries every way and batch size, for TRY_S each, and the fastest is kept.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil

from models.catalog import Catalog
from models.encoding import Encoding
from models.reranking.base import RerankingModel, RerankRequest
from models.source import SourceConfig, choose_device, choose_dtype, fetch_folder

BATCH_SIZES = (8, 16, 32, 64, 128)
GPU_BATCH_SIZES = (32, 64, 128, 256, 512, 1024)
TRY_S = 1.5
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
PASS_TEXTS, PASS_REQUESTS = 128, 4  # sorted by length together, as a bulk job would

Work = Callable[[Sequence[Any]], object]


@dataclass(frozen=True)
class Job:
    """Which model, and its workloads: files with a JSON list of texts, or of [query, texts] for a reranker."""

    task: Literal["embedding", "reranking"]
    alias: str
    catalog: str | None
    workloads: dict[str, str]


@dataclass(frozen=True)
class Memory:
    """Megabytes: of the model's weights on disk, and of the process that holds the model alone."""

    weights_mb: float
    pss_mb: float


@dataclass(frozen=True)
class OfflineTurn:
    """Texts, or pairs, a second, and the way that gave them."""

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
    """The model in a process of its own, with so many threads."""
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
        process.communicate()  # closes its standard input, at which it ends


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
    """The process itself: the model, and the fastest way for each workload that was tried."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._catalog = Catalog.open(Path(job.catalog) if job.catalog else None)
        self._config = self._catalog.config(job.task, job.alias)
        self._model: Any = self._catalog.load(job.task, job.alias)
        self._best: dict[str, tuple[str, Work]] = {}
        self._ways: dict[str, Work] = {}

    def memory(self) -> Memory:
        return Memory(weights_mb(self._folder()), psutil.Process().memory_full_info().pss / 1e6)

    def turn(self, workload: str, seconds: float) -> OfflineTurn:
        items = json.loads(Path(self._job.workloads[workload]).read_text())
        if workload not in self._best:
            self._ways = self._ways or self._all_ways()
            rates = {how: self._rate(work, items, TRY_S) for how, work in self._ways.items()}
            how = max(rates, key=lambda one: rates[one])
            self._best[workload] = (how, self._ways[how])
        how, work = self._best[workload]
        return OfflineTurn(self._rate(work, items, seconds), how)

    def _rate(self, work: Work, items: Sequence[Any], seconds: float) -> float:
        """Texts a second, or pairs; a quarter of a pass warms up and does not count."""
        a_pass = PASS_TEXTS if self._job.task == "embedding" else PASS_REQUESTS
        parts = [items[start : start + a_pass] for start in range(0, len(items), a_pass)]
        work(items[: a_pass // 4])
        passes = timed(lambda number: work(parts[number % len(parts)]), seconds)
        # All parts have the same number of texts, but for the last.
        return passes * len(items) / len(parts) * (1 if self._job.task == "embedding" else len(items[0][1]))

    def _all_ways(self) -> dict[str, Work]:
        """Of two libraries, each in several batch sizes: what a person would try."""
        device = choose_device(self._config.device) if isinstance(self._config, SourceConfig) else "cpu"
        sizes = GPU_BATCH_SIZES if device == "cuda" else BATCH_SIZES
        own, theirs = (
            (self._embed, self._sentence_transformers())
            if self._job.task == "embedding"
            else (self._rerank, self._cross_encoder())
        )
        ways: dict[str, Work] = {f"ragserve's model, batches of {size}": partial(own, size) for size in sizes}
        if theirs is not None:
            ways |= {f"sentence-transformers, batches of {size}": partial(theirs, size) for size in sizes}
        return ways

    def _embed(self, size: int, texts: Sequence[str]) -> object:
        return self._forward_sorted(self._model.tokenize_documents(texts), size)

    def _rerank(self, size: int, items: Sequence[tuple[str, list[str]]]) -> object:
        model: RerankingModel = self._model
        works = [model.tokenize(RerankRequest(query, tuple(texts))) for query, texts in items]
        outputs = iter(self._forward_sorted([one for work in works for one in work.encodings], size))
        return [model.finish(work, [next(outputs) for _ in work.encodings]) for work in works]

    def _forward_sorted(self, encodings: Sequence[Encoding], size: int) -> list[Any]:
        """One output an encoding, in their order, by forward passes over encodings of like length."""
        order = sorted(range(len(encodings)), key=lambda place: len(encodings[place]))
        outputs: list[Any] = [None] * len(encodings)
        for start in range(0, len(order), size):
            places = order[start : start + size]
            for place, output in zip(places, self._model.forward([encodings[at] for at in places]), strict=True):
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
        """The same device and precision as the served model's."""
        assert isinstance(self._config, SourceConfig)
        device = choose_device(self._config.device)
        return {"device": device, "model_kwargs": {"dtype": choose_dtype(self._config.dtype, device)}}


def timed(work: Callable[[int], object], seconds: float) -> float:
    """Calls a second, one after the other with their numbers from 0, until `seconds` have passed."""
    start, number = time.perf_counter(), 0
    while not number or time.perf_counter() - start < seconds:
        work(number)
        number += 1
    return number / (time.perf_counter() - start)


def weights_mb(folder: Path) -> float:
    """Size of a checkpoint's weights; where they lie in two formats, of one."""
    for suffix in (".safetensors", ".bin"):
        if sizes := [path.stat().st_size for path in folder.rglob(f"*{suffix}")]:
            return sum(sizes) / 1e6
    return 0.0


def main() -> None:
    """A line in, a line out, until standard input ends."""
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    bench = Bench(Job(**json.loads(sys.stdin.readline())))
    answers.write(json.dumps(asdict(bench.memory())) + "\n")
    for line in sys.stdin:
        workload, _, seconds = line.strip().rpartition(" ")
        answers.write(json.dumps(asdict(bench.turn(workload, float(seconds)))) + "\n")


if __name__ == "__main__":
    main()
