"""Measure every stage of a deployment file on this machine, with its own models and indexes: a Profile.

Computation is timed in this process, batch by batch. The cost of messages comes from the running service: the CPU time
of each process for one question, minus the computation.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from deployments.dense_searcher import DenseSearcherConfig
from deployments.embedder import EmbedderConfig
from deployments.generator import GeneratorConfig
from deployments.reranker import RerankerConfig
from models.catalog import Catalog
from serve.cli.capacity.fit import rounded
from serve.cli.capacity.hardware import HERE, this_machine
from serve.cli.capacity.measure_search import measure_dense, measure_lexical, store_corpus
from serve.cli.capacity.measure_service import NUM_CHUNKS, ServiceTimes, loaded_service, service_times
from serve.cli.capacity.measure_stages import measure_embed, measure_generate, measure_rerank
from serve.cli.capacity.neighbours import busy_neighbours
from serve.cli.capacity.profile import COALESCED, BatchTimes, GenerationTimes, IngressTimes, Profile, StageName
from serve.cli.capacity.texts import Texts
from serve.cli.capacity.yaml_model import YamlModel
from serve.config_file import read, settings_of

Report = Callable[[str], None]  # gets the step that begins
Times = BatchTimes | GenerationTimes
T = TypeVar("T", bound=YamlModel)
SEARCHES: tuple[StageName, ...] = ("dense", "lexical")
NUM_MESSAGES = len(COALESCED) + 1  # of a query that shares no message
CPU_FIELDS = ("fixed_s", "per_item_s", "message_cpu_s", "cpu_s", "prefill_s", "step_s", "step_item_s")


@dataclass(frozen=True)
class MeasurePlan:
    """Durations and sizes of the measurement.

    `cached`: fraction of a question's candidates in the caches of the reranker and the extractive model. In the
    RAGPulse trace (arXiv 2511.12979), 82 % of the passages appeared within the previous 1,000 requests.
    `neighbours`: other cores to keep busy meanwhile; None: all.
    """

    turn_s: float = 0.5
    chunks: tuple[int, int] = (2_000, 20_000)
    cached: float = 0.82
    neighbours: int | None = None
    warm_s: float = 15.0
    service_s: float = 15.0


@dataclass(frozen=True)
class ComputeTimes:
    """Times of the stages without messages. `single_s`: one query in the service, with all candidates cached."""

    stages: dict[StageName, Times]
    single_s: dict[StageName, float]


def measure(config: Path, plan: MeasurePlan, hardware: str, report: Report) -> Profile:
    """Takes two minutes with the shipped models. Raises ConfigError, ModelLoadError, ServerStartError."""
    cpus = this_machine().classes[HERE].cpus
    neighbours = cpus - 1 if plan.neighbours is None else plan.neighbours
    with busy_neighbours(neighbours), TemporaryDirectory() as folder:
        computed = _Measurement(config, plan, report).compute_times(Path(folder))
        report("the service, one question at a time")
        with loaded_service(config, Path(folder)) as service:
            served = service_times(service, plan.warm_s, plan.service_s)
    max_wait_s = settings_of(read(config)).coalescing.max_wait_s
    ingress, stages = with_service(computed.stages, computed.single_s, served, max_wait_s)
    # On a fully used machine, stages share the cores with Ray's own processes.
    factor = cpus / max(1.0, cpus - served.idle_cpus)
    times = {name: {hardware: slowed(stage, factor)} for name, stage in (stages | {"ingress": ingress}).items()}
    note = (
        f"Measured with {config.name}, one thread per replica, {neighbours} busy cores beside it, "
        f"{100 * plan.cached:g} % of the candidates cached; the idle service uses {served.idle_cpus:.2f} cores."
    )
    return Profile.model_validate({"note": note} | times)


class _Measurement:
    """Times the computation of each stage of a deployment file."""

    def __init__(self, config: Path, plan: MeasurePlan, report: Report) -> None:
        raw = read(config)
        self._plan, self._report, self._texts = plan, report, Texts()
        self._settings = settings_of(raw)
        self._catalog = Catalog.open(self._settings.catalog)
        self._user_configs: dict[str, dict[str, Any]] = {
            deployment["name"]: deployment.get("user_config") or {}
            for deployment in raw["applications"][0]["deployments"]
        }

    def compute_times(self, folder: Path) -> ComputeTimes:
        """Measure every stage. `folder` receives the synthetic corpora."""
        self._report("embed")
        embedder = EmbedderConfig(**self._user_configs["Embedder"])
        embed, dim = measure_embed(self._catalog, embedder, self._texts, self._plan.turn_s)
        self._report("rerank")
        rerank, cached_rerank = self._rerank(self._plan.cached), self._rerank(1.0)
        self._report("generate")
        generate = self._generate(self._plan.cached)
        cached_generate = self._generate(1.0) if isinstance(generate, BatchTimes) else generate
        dense, lexical = self._searches(dim, folder)
        stages: dict[StageName, Times] = {
            "embed": embed,
            "dense": dense,
            "lexical": lexical,
            "rerank": rerank,
            "generate": generate,
        }
        in_service = stages | {"rerank": cached_rerank, "generate": cached_generate}
        single_s = {
            name: times.with_chunks(NUM_CHUNKS).seconds(1)
            for name, times in in_service.items()
            if isinstance(times, BatchTimes)
        }
        return ComputeTimes(stages, single_s)

    def _rerank(self, cached: float) -> BatchTimes:
        reranker = RerankerConfig(**self._user_configs["Reranker"])
        candidates = self._settings.retrieval.rerank_candidates
        return measure_rerank(self._catalog, reranker, self._texts, candidates, cached, self._plan.turn_s)

    def _generate(self, cached: float) -> Times:
        generator = GeneratorConfig(**self._user_configs["Generator"])
        return asyncio.run(measure_generate(self._catalog, generator, self._texts, cached))

    def _searches(self, dim: int, folder: Path) -> tuple[BatchTimes, BatchTimes]:
        sizes, turn_s = self._plan.chunks, self._plan.turn_s
        self._report(f"dense and lexical, {sizes[0]:,} and {sizes[1]:,} chunks")
        index = DenseSearcherConfig(**self._user_configs["DenseSearcher"]).index
        top_k = self._settings.retrieval.candidates
        small, large = (store_corpus(size, dim, self._texts, folder / str(size)) for size in sizes)
        dense = measure_dense(index, small, large, top_k, turn_s)
        lexical = measure_lexical(small, large, self._texts, top_k, turn_s)
        for stored in (small, large):
            stored.corpus.close()
        return dense, lexical


def with_service(
    stages: dict[StageName, Times], single_s: dict[StageName, float], served: ServiceTimes, max_wait_s: float
) -> tuple[IngressTimes, dict[StageName, Times]]:
    """Add the cost of messages: the CPU time of a process beyond its computation (`single_s`).

    The ingress sends one message per stage. Each is assumed to cost the ingress as much as it costs a searcher, because
    the computation of a searcher is negligible. An engine may run in other processes, so its messages are not measured.
    """
    message_s = {name: max(0.0, served.cpu_s[name] - computed) for name, computed in single_s.items()}
    search_s = sum(message_s[name] for name in SEARCHES) / len(SEARCHES)
    hops_s = [max(0.0, served.call_s[name] - single_s[name]) for name in SEARCHES if name in served.call_s]
    ingress = IngressTimes(
        cpu_s=rounded(max(1e-6, served.cpu_s["ingress"] - NUM_MESSAGES * search_s)),
        message_cpu_s=rounded(search_s),
        hop_s=rounded(sum(hops_s) / max(1, len(hops_s))),
        max_wait_s=max_wait_s,
    )
    updates = {name: {"message_cpu_s": rounded(seconds)} for name, seconds in message_s.items()}
    return ingress, {name: times.model_copy(update=updates.get(name, {})) for name, times in stages.items()}


def slowed(times: T, factor: float) -> T:
    """Multiply all CPU times by `factor`."""
    values = {name: getattr(times, name, None) for name in CPU_FIELDS}
    update: dict[str, Any] = {name: rounded(value * factor) for name, value in values.items() if value is not None}
    growth = getattr(times, "growth", None)
    if growth is not None:
        update["growth"] = growth.model_copy(update={"per_item_s": rounded(growth.per_item_s * factor)})
    return times.model_copy(update=update)
