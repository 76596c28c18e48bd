"""Measures every stage of a deployment file on this machine, with its own models and indexes: a Profile."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deployments.dense_searcher import DenseSearcherConfig
from deployments.embedder import EmbedderConfig
from deployments.generator import GeneratorConfig
from deployments.reranker import RerankerConfig
from models.catalog import Catalog
from serve.benchmarks.tax import TaxPlan
from serve.benchmarks.tax import run as run_tax
from serve.config_file import read, settings_of
from serve.planning.fit import rounded
from serve.planning.hardware import HERE, this_machine
from serve.planning.measure_pipeline import pipeline_seconds
from serve.planning.measure_search import measure_dense, measure_lexical, stored
from serve.planning.measure_stages import measure_embed, measure_generate, measure_rerank
from serve.planning.neighbours import busy_neighbours
from serve.planning.profile import BatchTimes, GenerationTimes, IngressTimes, Profile
from serve.planning.texts import Texts
from serve.settings import Settings

Say = Callable[[str], None]
HTTP_S, HOP_S = 0.0005, 0.0017  # CPU of an ingress, and of a hop with both its ends: docs/benchmarks.md


@dataclass(frozen=True)
class MeasurePlan:
    """How long to look, and at what.

    `cached`: of a question's candidates, the share that the reranker has seen lately. In the RAGPulse trace (arXiv
    2511.12979) 82 % of the passages were seen within the last 1,000 requests. `hops`: measure Ray Serve, too, which
    takes a cluster; without it, what docs/benchmarks.md has is taken. `neighbours`: cores that are kept busy beside
    the one that computes; None is all others.
    """

    turn_s: float = 0.5
    chunks: tuple[int, int] = (2_000, 20_000)
    cached: float = 0.82
    hops: bool = True
    neighbours: int | None = None


def measure(config: Path, plan: MeasurePlan, hardware: str, say: Say) -> Profile:
    """Takes one to two minutes with the models that ship. Raises ConfigError, ModelLoadError."""
    raw = read(config)
    texts, settings, user_configs = Texts(), settings_of(raw), _user_configs(raw)
    neighbours = this_machine().classes[HERE].cpus - 1 if plan.neighbours is None else plan.neighbours
    with busy_neighbours(neighbours):
        models, dim = _models(settings, user_configs, plan, texts, say)
    with TemporaryDirectory() as folder:
        say(f"dense and lexical, {plan.chunks[0]:,} and {plan.chunks[1]:,} chunks")
        few, many = (stored(size, dim, texts, Path(folder) / str(size)) for size in plan.chunks)
        index, depth = DenseSearcherConfig(**user_configs["DenseSearcher"]).index, settings.retrieval.candidates
        with busy_neighbours(neighbours):
            searches = {
                "dense": {hardware: measure_dense(index, few, many, depth, plan.turn_s)},
                "lexical": {hardware: measure_lexical(few, many, texts, depth, plan.turn_s)},
            }
            say("ingress")
            pipeline_s = asyncio.run(pipeline_seconds(settings, many, texts))
        ingress = _ingress(settings, pipeline_s, plan, Path(folder), say)
        for one in (few, many):
            one.corpus.close()
    note = (
        f"Measured with {config.name}, one thread a replica, {neighbours} busy cores beside it, "
        f"{100 * plan.cached:g} % of the candidates cached."
    )
    stages = {name: {hardware: times} for name, times in models.items()}
    return Profile.model_validate({"note": note, "ingress": {hardware: ingress}} | stages | searches)


def _models(
    settings: Settings, user_configs: dict[str, dict[str, Any]], plan: MeasurePlan, texts: Texts, say: Say
) -> tuple[dict[str, BatchTimes | GenerationTimes], int]:
    """The times of embed, rerank and generate, and the dimensions of a vector."""
    catalog, candidates = Catalog.open(settings.catalog), settings.retrieval.rerank_candidates
    say("embed")
    embed, dim = measure_embed(catalog, EmbedderConfig(**user_configs["Embedder"]), texts, plan.turn_s)
    say("rerank")
    reranker = RerankerConfig(**user_configs["Reranker"])
    rerank = measure_rerank(catalog, reranker, texts, candidates, plan.cached, plan.turn_s)
    say("generate")
    generate = asyncio.run(measure_generate(catalog, GeneratorConfig(**user_configs["Generator"]), texts))
    return {"embed": embed, "rerank": rerank, "generate": generate}, dim


def _ingress(settings: Settings, pipeline_s: float, plan: MeasurePlan, folder: Path, say: Say) -> IngressTimes:
    """One call at a time is computed from end to end, and half of a hop at either."""
    http_s, hop_s = _hops(folder, say) if plan.hops else (HTTP_S, HOP_S)
    return IngressTimes(
        cpu_s=rounded(http_s + pipeline_s),
        message_cpu_s=rounded(hop_s / 2),
        hop_s=rounded(hop_s),
        max_wait_s=settings.coalescing.max_wait_s,
    )


def _user_configs(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one.get("user_config") or {} for one in raw["applications"][0]["deployments"]}


def _hops(folder: Path, say: Say) -> tuple[float, float]:
    """Seconds of an ingress alone, and more of each of two stages behind it, one question at a time."""
    (row,) = run_tax(TaxPlan(clients=(1,), turn_s=2.0, num_turns=1, body_bytes=200), folder, say)
    return row.lone.p50_s, max(0.0, (row.ours.p50_s - row.lone.p50_s) / 2)
