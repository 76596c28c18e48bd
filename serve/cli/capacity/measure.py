"""Measures every stage of a deployment file on this machine, with its own models and indexes: a Profile.

What a stage computes is timed in this process, batch by batch. What it costs to get there is taken from the running
service: the CPU of each of its processes for one question, less the computing.
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
from models.index.faiss_config import FaissConfig
from serve.cli.capacity.fit import rounded
from serve.cli.capacity.hardware import HERE, this_machine
from serve.cli.capacity.measure_search import measure_dense, measure_lexical, stored
from serve.cli.capacity.measure_service import NUM_CHUNKS, ServiceTimes, loaded_service, service_times
from serve.cli.capacity.measure_stages import measure_embed, measure_generate, measure_rerank
from serve.cli.capacity.neighbours import busy_neighbours
from serve.cli.capacity.profile import COALESCED, BatchTimes, GenerationTimes, IngressTimes, Profile, StageName
from serve.cli.capacity.texts import Texts
from serve.cli.capacity.yaml_model import YamlModel
from serve.config_file import read, settings_of

Say = Callable[[str], None]
Times = BatchTimes | GenerationTimes
T = TypeVar("T", bound=YamlModel)
SEARCHES: tuple[StageName, ...] = ("dense", "lexical")
NUM_MESSAGES = len(COALESCED) + 1  # of a query that shares none


@dataclass(frozen=True)
class MeasurePlan:
    """How long to look, and at what.

    `cached`: of a question's candidates, the share that was seen lately, by the reranker and by who quotes from them.
    In the RAGPulse trace (arXiv 2511.12979) 82 % of the passages were seen within the last 1,000 requests.
    `neighbours`: cores that are kept busy beside the one that computes; None is all others.
    """

    turn_s: float = 0.5
    chunks: tuple[int, int] = (2_000, 20_000)
    cached: float = 0.82
    neighbours: int | None = None
    warm_s: float = 15.0
    service_s: float = 15.0


def measure(config: Path, plan: MeasurePlan, hardware: str, say: Say) -> Profile:
    """Takes two minutes with the models that ship. Raises ConfigError, ModelLoadError, PeerError."""
    cpus = this_machine().classes[HERE].cpus
    neighbours = cpus - 1 if plan.neighbours is None else plan.neighbours
    with busy_neighbours(neighbours), TemporaryDirectory() as folder:
        stages, seen_before = _computing(config, plan, Path(folder), say)
        say("the service, one question at a time")
        with loaded_service(config, Path(folder)) as service:
            served = service_times(service, plan.warm_s, plan.service_s)
    max_wait_s = settings_of(read(config)).coalescing.max_wait_s
    ingress, stages = with_service(stages, seen_before, served, max_wait_s)
    # On a full machine nobody computes while Ray itself does.
    factor = cpus / max(1.0, cpus - served.idle_cpus)
    times = {name: {hardware: slower(one, factor)} for name, one in (stages | {"ingress": ingress}).items()}
    note = (
        f"Measured with {config.name}, one thread a replica, {neighbours} busy cores beside it, "
        f"{100 * plan.cached:g} % of the candidates cached; the idle service takes {served.idle_cpus:.2f} cores."
    )
    return Profile.model_validate({"note": note} | times)


def _computing(
    config: Path, plan: MeasurePlan, folder: Path, say: Say
) -> tuple[dict[StageName, Times], dict[StageName, float]]:
    """The times of the stages without their messages; seconds of one query over the service's few chunks."""
    raw = read(config)
    texts, settings, user_configs = Texts(), settings_of(raw), _user_configs(raw)
    catalog, candidates = Catalog.open(settings.catalog), settings.retrieval.rerank_candidates
    say("embed")
    embed, dim = measure_embed(catalog, EmbedderConfig(**user_configs["Embedder"]), texts, plan.turn_s)
    say("rerank")
    reranker = RerankerConfig(**user_configs["Reranker"])
    rerank, rerank_seen = (
        measure_rerank(catalog, reranker, texts, candidates, cached, plan.turn_s) for cached in (plan.cached, 1.0)
    )
    say("generate")
    generator = GeneratorConfig(**user_configs["Generator"])
    generate = asyncio.run(measure_generate(catalog, generator, texts, plan.cached))
    generate_seen = generate
    if isinstance(generate, BatchTimes):
        generate_seen = asyncio.run(measure_generate(catalog, generator, texts, cached=1.0))
    say(f"dense and lexical, {plan.chunks[0]:,} and {plan.chunks[1]:,} chunks")
    index, depth = DenseSearcherConfig(**user_configs["DenseSearcher"]).index, settings.retrieval.candidates
    dense, lexical = _searches(index, depth, plan, texts, dim, folder)
    times: dict[StageName, Times] = {
        "embed": embed,
        "dense": dense,
        "lexical": lexical,
        "rerank": rerank,
        "generate": generate,
    }
    seen = times | {"rerank": rerank_seen, "generate": generate_seen}
    return times, {
        name: one.holding(NUM_CHUNKS).seconds(1) for name, one in seen.items() if isinstance(one, BatchTimes)
    }


def _searches(
    index: FaissConfig, depth: int, plan: MeasurePlan, texts: Texts, dim: int, folder: Path
) -> tuple[BatchTimes, BatchTimes]:
    few, many = (stored(size, dim, texts, folder / str(size)) for size in plan.chunks)
    dense = measure_dense(index, few, many, depth, plan.turn_s)
    lexical = measure_lexical(few, many, texts, depth, plan.turn_s)
    for one in (few, many):
        one.corpus.close()
    return dense, lexical


def with_service(
    stages: dict[StageName, Times], computing_s: dict[StageName, float], served: ServiceTimes, max_wait_s: float
) -> tuple[IngressTimes, dict[StageName, Times]]:
    """What a process uses beyond its computing is what its messages cost, with all that is in them.

    The ingress sends as many messages as there are stages; each is taken to cost it as much as a search's costs the
    searcher, whose computing is next to nothing. Of an engine, which may have processes of its own, nothing is known.
    """
    message_s = {name: max(0.0, served.cpu_s[name] - computed) for name, computed in computing_s.items()}
    search_s = sum(message_s[name] for name in SEARCHES) / len(SEARCHES)
    ways = [max(0.0, served.call_s[name] - computing_s[name]) for name in SEARCHES if name in served.call_s]
    ingress = IngressTimes(
        cpu_s=rounded(max(1e-6, served.cpu_s["ingress"] - NUM_MESSAGES * search_s)),
        message_cpu_s=rounded(search_s),
        hop_s=rounded(sum(ways) / max(1, len(ways))),
        max_wait_s=max_wait_s,
    )
    known = {name: {"message_cpu_s": rounded(one)} for name, one in message_s.items()}
    return ingress, {name: one.model_copy(update=known.get(name, {})) for name, one in stages.items()}


def slower(times: T, factor: float) -> T:
    """All of it that takes CPU, at so many times the seconds."""
    fields = ("fixed_s", "per_item_s", "message_cpu_s", "cpu_s", "prefill_s", "step_s", "step_item_s")
    values = {name: getattr(times, name, None) for name in fields}
    update: dict[str, Any] = {name: rounded(value * factor) for name, value in values.items() if value is not None}
    growth = getattr(times, "growth", None)
    if growth is not None:
        update["growth"] = growth.model_copy(update={"per_item_s": rounded(growth.per_item_s * factor)})
    return times.model_copy(update=update)


def _user_configs(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one.get("user_config") or {} for one in raw["applications"][0]["deployments"]}
