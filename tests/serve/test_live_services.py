"""Settings that change while the application serves: what the next request uses, and what a wrong value changes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from deployments.cluster.environment import free_port
from models.catalog import Catalog
from models.errors.configuration import ConfigError
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.clients import Clients
from serve.live_services import LiveServices
from serve.settings import Settings
from tests.inline import ExtractiveGenerator, InlineEmbedder, ShortestFirst, ingest, inline_clients, open_corpus
from tests.patience import PATIENCE_S


@asynccontextmanager
async def serving(
    folder: Path, settings: Settings | None = None, **replaced: Any
) -> AsyncIterator[tuple[LiveServices, httpx.AsyncClient]]:
    """The application over a corpus of one file, with some clients `replaced` by name."""
    corpus = open_corpus(folder)
    await ingest(corpus, "ovens.md", b"# Ovens\n\nThe oven heats to 250 degrees.\n")
    clients: Clients = replace(inline_clients(corpus), **replaced)
    live = LiveServices(settings or Settings(), Catalog.open(None), corpus, clients)
    async with live.app.router.lifespan_context(live.app):
        transport = httpx.ASGITransport(app=live.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ragserve") as http:
            yield live, http


QUESTION = {"query": "How hot does the oven get?", "top_k": 5, "mode": "dense"}


class Paused:
    """A generator that waits before its first text until it is released."""

    def __init__(self) -> None:
        self.has_begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        self.has_begun.set()
        await self.may_go_on.wait()
        yield GenerationDelta("250 degrees.", finish_reason="stop", model="paused")


async def test_the_next_request_uses_a_changed_setting(tmp_path: Path) -> None:
    async with serving(tmp_path) as (live, http):
        before = await http.post("/v1/query", json={"query": "x" * 40})

        live.configure({"api": {"max_query_chars": 20}})
        after = await http.post("/v1/query", json={"query": "x" * 40})

    assert (before.status_code, after.status_code) == (200, 422)


async def test_retrieval_admission_and_workers_are_changed_together(tmp_path: Path) -> None:
    async with serving(tmp_path) as (live, http):
        live.configure(
            {
                "retrieval": {"rerank_s": 3.0},
                "query": {"first_text_s": 2.0},
                "admission": {"max_questions": 7},
                "ingest": {"concurrency": 3},
                "migration": {"duty": 0.25},
                "housekeeping": {"every_s": 10},
            }
        )

        settings = live.current.settings
        answered = await http.post("/v1/query", json=QUESTION)

    assert answered.status_code == 200
    assert settings.retrieval.rerank_s == 3.0
    assert settings.query.first_text_s == 2.0
    assert settings.admission.max_questions == 7
    assert settings.ingest.concurrency == 3
    assert settings.migration.duty == 0.25
    assert settings.housekeeping.every_s == 10


async def test_a_lowered_admission_limit_holds_at_once(tmp_path: Path) -> None:
    generator = Paused()
    async with serving(tmp_path, generator=generator) as (live, http):
        under_way = asyncio.create_task(http.post("/v1/query", json={"query": "How hot?"}))
        await generator.has_begun.wait()

        live.configure({"admission": {"max_questions": 1}})
        refused = await http.post("/v1/query", json={"query": "How hot?"})
        generator.may_go_on.set()
        answered = await under_way

    assert (refused.status_code, answered.status_code) == (429, 200)


async def test_a_request_under_way_keeps_its_settings(tmp_path: Path) -> None:
    generator = Paused()
    async with serving(tmp_path, generator=generator) as (live, http):
        under_way = asyncio.create_task(http.post("/v1/query", json={"query": "How hot?"}))
        await generator.has_begun.wait()

        live.configure({"query": {"first_text_s": 0.001, "total_s": 0.001}})
        generator.may_go_on.set()
        answered = await under_way

    assert answered.json()["answer"] == "250 degrees."
    assert answered.json()["degraded"] == []


@pytest.mark.parametrize(
    ("user_config", "key"),
    [
        ({"retrieval": {"candidates": 0}, "admission": {"max_questions": 1}}, "user_config.retrieval.candidates"),
        ({"admission": {"max_questions": 1}, "retrieval": {"candidate": 3}}, "user_config.retrieval.candidate"),
        ({"ingest": {"lease_s": 60}}, "user_config.ingest.lease_s"),
        ({"cache": {"answers": {"enabled": False}}, "query": {"prompts": {"prompt": "none@1"}}}, "prompts"),
    ],
)
async def test_a_wrong_value_is_refused_by_name_and_changes_nothing(
    tmp_path: Path, user_config: dict[str, Any], key: str
) -> None:
    async with serving(tmp_path) as (live, http):
        live.configure({"admission": {"max_questions": 9}})
        before, cached = live.current, live._caches._config

        with pytest.raises(ConfigError, match=key):
            live.configure(user_config)

        assert live.current is before
        assert live._caches._config is cached
        assert (await http.post("/v1/query", json=QUESTION)).status_code == 200


async def test_a_removed_user_config_brings_the_args_back(tmp_path: Path) -> None:
    settings = Settings(retrieval={"candidates": 20})
    async with serving(tmp_path, settings) as (live, _):
        live.configure({"retrieval": {"candidates": 30}})

        live.configure(None)

        assert live.current.settings == settings


async def test_a_redis_that_is_no_longer_configured_is_left_and_its_breakers_are_not_open(tmp_path: Path) -> None:
    def num_open() -> float:
        return REGISTRY.get_sample_value("ragserve_open_breakers", {"stage": "redis"}) or 0.0

    dead = {"redis_url": f"redis://127.0.0.1:{free_port()}/0", "redis_timeout_s": 10}
    async with serving(tmp_path) as (live, http):
        before = num_open()
        live.configure({"cache": dead, "limits": {"shared": True, "each_tenant": {"requests_per_minute": 1000}}})
        answered = await http.post("/v1/query", json=QUESTION)
        beside_dead = num_open() - before

        live.configure({})
        async with asyncio.timeout(PATIENCE_S):
            while num_open() > before:  # noqa: ASYNC110 - it is closed beside the requests
                await asyncio.sleep(0.01)

    assert answered.status_code == 200
    assert beside_dead == 2  # of the caches and of the limits


async def test_changed_settings_keep_the_counts_of_the_passage_order(tmp_path: Path) -> None:
    generator = Recorder()
    async with serving(tmp_path, generator=generator) as (live, http):
        await ingest(live.current.corpus, "kilns.md", b"# Kilns\n\nA kiln.\n")
        for _ in range(3):
            await http.post("/v1/query", json={"query": "What is a kiln?", "top_k": 1})

        live.configure({"query": {"total_s": 30}})
        await http.post("/v1/query", json={"query": "How hot does the oven get?", "top_k": 2})

    # Without the counts the older file would come first.
    assert generator.filenames[-1] == ["kilns.md", "ovens.md"]


class Recorder:
    """A generator that records the files of each prompt, in order."""

    def __init__(self) -> None:
        self.filenames: list[list[str]] = []

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        self.filenames.append([passage.filename for passage in request.passages])
        yield GenerationDelta("Recorded.", finish_reason="stop", model="recorder")


async def test_raised_concurrency_starts_waiting_files_at_once(tmp_path: Path) -> None:
    settings = Settings(ingest={"concurrency": 1, "poll_s": 60})
    parser = PausedParser()
    async with serving(tmp_path, settings, parser=parser) as (live, http):
        for name in ("a.md", "b.md"):
            uploaded = await http.post("/v1/files", files={"file": (name, b"# A")}, data={"purpose": "assistants"})
            await http.post("/v1/vector_stores/default/files", json={"file_id": uploaded.json()["id"]})
        await parser.until_begun(1)

        live.configure({"ingest": {"concurrency": 2}})

        await parser.until_begun(2)


class PausedParser:
    """A parser that never ends, and counts its calls."""

    def __init__(self) -> None:
        self._num_begun, self._changed = 0, asyncio.Condition()

    async def parse(self, *_: object) -> Any:
        async with self._changed:
            self._num_begun += 1
            self._changed.notify_all()
        await asyncio.Event().wait()

    async def until_begun(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: self._num_begun >= number)


@pytest.mark.parametrize(
    ("aliases", "message"),
    [({"gpt-4o": "ragserv"}, "did you mean 'ragserve'"), ({"extractive": "ragserve"}, "is a model of its own")],
)
async def test_a_name_that_stands_for_no_model_is_refused(
    tmp_path: Path, aliases: dict[str, str], message: str
) -> None:
    async with serving(tmp_path) as (live, _):
        with pytest.raises(ConfigError, match=message) as refused:
            live.configure({"api": {"model_aliases": aliases}})

        assert refused.value.where == f"api.model_aliases.{next(iter(aliases))}"
        assert live.current.settings.api.model_aliases == {}
        live.configure({"api": {"model_aliases": {"gpt-4o": "ragserve", "text-embedding-3-small": "minilm"}}})


async def test_an_option_of_anthropics_that_quoting_cannot_follow_is_named_as_it_was_sent(tmp_path: Path) -> None:
    body = {"max_tokens": 50, "messages": [{"role": "user", "content": QUESTION["query"]}]}
    statuses = {"generate": ExtractiveGenerator(), "embed": InlineEmbedder(), "rerank": ShortestFirst()}
    async with serving(tmp_path, statuses=statuses) as (live, http):
        for field, value in (("system", "Rhyme."), ("stop_sequences", ["x"]), ("temperature", 0.5)):
            for stream in (False, True):
                refused = await http.post("/v1/messages", json={**body, field: value, "stream": stream})
                assert (refused.status_code, refused.json()["error"]["param"]) == (422, field)
        live.configure({"api": {"extra": "ignore"}})
        answered = await http.post("/v1/messages", json={**body, "system": "Rhyme.", "temperature": 0.5})

    assert "250 degrees" in answered.json()["content"][0]["text"]
