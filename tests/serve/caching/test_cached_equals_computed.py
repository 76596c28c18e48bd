"""Whatever happens in between, the answers with caches are the answers without."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.corpus.corpus import Corpus
from models.errors.requests import NotFoundError
from models.filters import Comparison
from models.stage_status import StageStatus
from serve.pipelines.answering import Query
from serve.pipelines.retrieving import RetrievalOptions
from serve.settings import Settings
from tests.inline import ingest, open_corpus, question
from tests.serve.caching.cache_samples import CachedService, redis_server, untraced

TENANTS = ("acme", "globex")
TEXTS = (
    b"The oven is heated with beech wood.",
    b"The oven is heated with gas.",
    b"A schooner has two masts, and a brig has two masts as well.",
)
QUESTIONS = ("What heats the oven?", "How many masts has a schooner?", '"two masts"')
OFF = {"enabled": False}
UNCACHED = {"answers": OFF, "retrieval": OFF, "embeddings": OFF}

tenants = st.sampled_from(TENANTS)
names = st.sampled_from(["a.md", "b.md"])
changes = st.one_of(
    st.tuples(st.just("ingest"), tenants, names, st.sampled_from(TEXTS)),
    st.tuples(st.just("delete"), tenants, names),
    st.tuples(st.just("attributes"), tenants, names, st.sampled_from([{"year": 1}, {"year": 2}, {}])),
    st.tuples(st.just("rename"), tenants, names, names),
    st.tuples(st.just("empty"), tenants),
    st.tuples(st.just("swap"), st.sampled_from(["shortest-first", "another"])),
    st.tuples(st.just("candidates"), st.sampled_from([1, 50])),
)
filters = st.sampled_from([None, Comparison("eq", "year", 1), Comparison("ne", "year", 1)])
queries = st.builds(
    lambda text, tenant, top_k, where, mode: replace(
        question(text, tenant, top_k), where=where, options=RetrievalOptions(mode=mode)
    ),
    st.sampled_from(QUESTIONS),
    tenants,
    st.sampled_from([1, 3]),
    filters,
    st.sampled_from(["auto", "dense"]),
)
# Twice as many questions as changes: else nothing is ever answered from a cache.
steps = st.lists(st.one_of(changes, queries, queries), min_size=8, max_size=20)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


class Comparing:
    """The same corpus behind a service without caches and one with them."""

    def __init__(self, corpus: Corpus, cache: dict[str, Any]) -> None:
        self._corpus = corpus
        self._cached = CachedService(corpus, Settings(cache=cache))
        self._computed = CachedService(corpus, Settings(cache=UNCACHED))
        self._file_ids: dict[tuple[str, str], str] = {}
        self.num_cached = 0

    async def compare(self, query: Query) -> None:
        cached, computed = await self._cached.events(query), await self._computed.events(query)

        assert untraced(cached) == untraced(computed)
        assert computed[-1].trace.cached == []
        self.num_cached += bool(cached[-1].trace.cached)

    async def change(self, kind: str, *values: Any) -> None:
        match kind:
            case "swap":
                for service in (self._cached, self._computed):
                    service.stages["rerank"].reported = StageStatus(service.reranker.swap(values[0]))
                    await service.settle()
            case "candidates":
                for service in (self._cached, self._computed):
                    service.live.configure({"retrieval": {"candidates": values[0]}})
            case _:
                await self._change_corpus(kind, *values)

    async def _change_corpus(self, kind: str, tenant: str, *values: Any) -> None:
        corpus, file_id = self._corpus, self._file_ids.get((tenant, values[0])) if values else None
        match kind:
            case "ingest":
                self._file_ids[tenant, values[0]] = await ingest(corpus, values[0], values[1], tenant)
            case "empty":
                corpus.vector_stores.delete(tenant, "default")
            case "delete" if file_id:
                del self._file_ids[tenant, values[0]]
                corpus.files.delete(tenant, file_id)
            case "attributes" if file_id:
                with suppress(NotFoundError):  # the store was emptied
                    corpus.store_files.set_attributes(tenant, "default", file_id, values[1])
            case "rename" if file_id:
                corpus.files.replace(tenant, file_id, corpus.files.content(tenant, file_id), values[1])

    async def close(self) -> None:
        for service in (self._cached, self._computed):
            await service.close()


async def run(steps: list[Any], cache: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = open_corpus(Path(folder))
        comparing = Comparing(corpus, cache)
        try:
            for step in steps:
                await (comparing.compare(step) if isinstance(step, Query) else comparing.change(*step))
        finally:
            await comparing.close()
            corpus.close()


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_answers_with_caches_in_memory_are_those_without(steps: list[Any]) -> None:
    asyncio.run(run(steps, {}))


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_answers_with_redis_are_those_without(redis_url: str, steps: list[Any]) -> None:
    asyncio.run(run(steps, {"redis_url": redis_url}))


async def test_a_sequence_with_every_change_is_answered_from_the_caches_in_between(tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path)
    comparing = Comparing(corpus, {})
    ask = question(QUESTIONS[0], "acme")
    changes = [
        ("ingest", "acme", "a.md", TEXTS[0]),
        ("ingest", "acme", "b.md", TEXTS[1]),
        ("attributes", "acme", "a.md", {"year": 1}),
        ("rename", "acme", "a.md", "c.md"),
        ("swap", "another"),
        ("candidates", 1),
        ("delete", "acme", "b.md"),
    ]

    for step in changes:
        await comparing.change(*step)
        for _ in range(2):
            await comparing.compare(ask)

    assert comparing.num_cached == len(changes)
    await comparing.close()
    corpus.close()
