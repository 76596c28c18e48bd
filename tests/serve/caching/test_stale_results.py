"""What answers while a stage is down: an earlier result with its age, for an equal request, and nothing withdrawn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.calls.inline import InlineHandle, InlineStage
from deployments.generator import Generator, GeneratorClient, quoting_models
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.errors.base import RagError
from models.errors.stages import StageUnavailableError
from models.generation.markers import renumbered
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.caching.config import CacheConfig, LevelConfig
from serve.caching.level import CacheLevel
from serve.caching.stale import StaleRetrieval, StaleStore
from serve.clients import Clients
from serve.live_services import LiveServices
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline
from serve.pipelines.retrieving import RetrievalQuery
from serve.settings import Settings
from tests.contexts import within
from tests.inline import Failing, ingest, inline_clients, open_corpus, retrieval_stages
from tests.patience import PATIENCE_S
from tests.remote_server import ScriptedServer, chunk, scripted_server

ASKED = {"query": "How tall is the tower?", "temperature": 0.7}
FILES = {"tower.md": b"The tower is 40 metres tall.", "boats.md": b"Boats wait below the tower."}
WHOLE = [chunk("It is tall. [1]"), chunk("", "stop"), "[DONE]"]
OFF = {"enabled": False}
STALE = {"stale": {"enabled": True}, "retrieval": OFF, "answers": OFF, "embeddings": OFF}


@dataclass
class Switched:
    """A stage that fails with `error` while it is set."""

    stage: Any
    error: RagError | None = None

    async def _call(self, method: str, *args: Any) -> Any:
        if self.error is not None:
            raise self.error
        return await getattr(self.stage, method)(*args)

    async def embed_query(self, *args: Any) -> Any:
        return await self._call("embed_query", *args)

    async def search(self, *args: Any) -> Any:
        return await self._call("search", *args)

    async def status(self, context: RequestContext) -> Any:
        return await self._call("status", context)


@dataclass
class Service:
    corpus: Corpus
    http: httpx.AsyncClient
    server: ScriptedServer
    embedder: Switched
    lexical: Switched
    file_ids: dict[str, str]

    async def ask(self, **fields: Any) -> dict[str, Any]:
        headers = fields.pop("headers", {})
        response = await self.http.post("/v1/query", json=ASKED | fields, headers=headers)
        return response.json()

    def stop_generation(self) -> None:
        self.server.script = [503]

    def stop_retrieval(self) -> None:
        self.embedder.error, self.lexical.error = StageUnavailableError("embed"), StageUnavailableError("lexical")


@pytest.fixture(scope="module")
def server() -> Any:
    with scripted_server() as scripted:
        yield scripted


def catalog_of(folder: Path, url: str) -> Catalog:
    options = {"base_url": url, "model": "m", "max_model_len": 8000, "max_retries": 0}
    path = folder / "catalog.yaml"
    path.write_text(yaml.safe_dump({"generation": {"llm": {"kind": "openai", "licence": "none", "options": options}}}))
    return Catalog.open(path)


@asynccontextmanager
async def serving(folder: Path, server: ScriptedServer, **cache: Any) -> AsyncIterator[Service]:
    """The application over two files, whose generator is a model at `server`, and whose searches can be stopped."""
    server.script, corpus, catalog = [WHOLE], open_corpus(folder), catalog_of(folder, server.url)
    file_ids = {name: await ingest(corpus, name, content) for name, content in FILES.items()}
    handle: InlineHandle = InlineStage(Generator, (catalog,), {"model": "llm"}).open()
    await handle.start()
    plain, generator = inline_clients(corpus), GeneratorClient(handle, "generate")
    embedder, lexical = Switched(plain.embedder), Switched(plain.lexical)
    replaced = {
        "embedder": embedder,
        "lexical": lexical,
        "generator": generator,
        "quoting": quoting_models(catalog),
        "statuses": {**plain.statuses, "generate": generator},
    }
    clients = Clients(**{**vars(plain), **replaced})
    live = LiveServices(Settings(cache=CacheConfig(**STALE | cache)), catalog, corpus, clients)
    async with live.app.router.lifespan_context(live.app):
        transport = httpx.ASGITransport(app=live.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ragserve") as http:
            yield Service(corpus, http, server, embedder, lexical, file_ids)
    for link in handle.replica._models._links:
        await link.slot.close()


@pytest.fixture
async def service(tmp_path: Path, server: ScriptedServer) -> AsyncIterator[Service]:
    async with serving(tmp_path, server) as running:
        yield running


async def test_the_generators_own_text_answers_while_it_is_down(service: Service) -> None:
    before = await service.ask()
    service.stop_generation()

    during = await service.ask()

    assert (before["answer"], before["degraded"], before["stale"]) == ("It is tall. [1]", [], {})
    assert during["answer"] == before["answer"]
    assert during["citations"] == before["citations"] != []
    assert during["models"]["generate"] == "llm"
    assert during["degraded"] == ["generate_stale"]
    assert during["stale"]["generate_stale"] >= 0
    assert during["degraded_reasons"]["generate_stale"].startswith("generate model_unavailable, ")
    assert during["degraded_reasons"]["generate_stale"].endswith(" s old")
    assert during["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"query": "How tall is the old tower?"},
        {"temperature": 0.6},
        {"top_k": 1},
        {"headers": {"cache-control": "no-store"}},
        {"filters": {"type": "ne", "key": "k", "value": "v"}, "top_k": 1},
    ],
)
async def test_any_other_request_gets_quotes(service: Service, fields: dict[str, Any]) -> None:
    await service.ask()
    service.stop_generation()

    during = await service.ask(**fields)

    assert during["degraded"] == ["generate"]
    assert during["stale"] == {}


@pytest.mark.parametrize("stop", [Service.stop_generation, Service.stop_retrieval])
async def test_who_refuses_degraded_answers_gets_no_stale_one(service: Service, stop: Any) -> None:
    await service.ask(degrade="never")
    stop(service)

    assert (await service.ask(degrade="never"))["error"]["code"] == "degraded"


async def test_a_text_whose_passage_was_deleted_is_not_shown(service: Service) -> None:
    await service.ask()
    service.stop_generation()
    service.corpus.files.delete("default", service.file_ids["tower.md"])

    during = await service.ask()

    assert during["degraded"] == ["generate"]
    assert "tall" not in during["answer"]


async def test_a_ranking_answers_while_no_search_does(service: Service) -> None:
    before = await service.ask()
    service.stop_retrieval()

    during = await service.ask()
    found = await service.http.post("/v1/vector_stores/default/search", json={"query": ASKED["query"]})

    assert during["degraded"] == ["retrieval_stale"]
    assert during["degraded_reasons"]["retrieval_stale"].startswith("embed stage_unavailable, ")
    assert set(during["stale"]) == {"retrieval_stale"}
    assert [each["filename"] for each in during["passages"]] == [each["filename"] for each in before["passages"]]
    assert during["citations"]
    assert found.status_code == 503  # it was not asked before


async def test_both_may_be_down(service: Service) -> None:
    before = await service.ask()
    service.stop_retrieval()
    service.stop_generation()

    during = await service.ask()

    assert during["answer"] == before["answer"]
    assert during["degraded"] == ["retrieval_stale", "generate_stale"]


async def test_a_ranking_loses_what_was_deleted(service: Service) -> None:
    await service.ask()
    service.stop_retrieval()
    service.stop_generation()
    service.corpus.files.delete("default", service.file_ids["tower.md"])

    during = await service.ask()

    assert [each["filename"] for each in during["passages"]] == ["boats.md"]
    assert "tall" not in during["answer"]
    service.corpus.files.delete("default", service.file_ids["boats.md"])
    assert (await service.ask())["error"]["code"] == "stage_unavailable"


async def test_a_ranking_loses_what_the_caller_may_no_longer_read(service: Service) -> None:
    """Readers are such a filter: see serve/access/readers.py."""
    only_hr = {"filters": {"type": "eq", "key": "reader:group:hr", "value": True}}
    for name in ("tower.md", "boats.md"):
        file_id = service.file_ids[name]
        service.corpus.store_files.set_attributes("default", "default", file_id, {"reader:group:hr": True})
    before = await service.ask(**only_hr)
    service.stop_retrieval()
    service.stop_generation()

    service.corpus.store_files.set_attributes("default", "default", service.file_ids["tower.md"], {})
    during = await service.ask(**only_hr)

    assert len(before["passages"]) == 2
    assert [each["filename"] for each in during["passages"]] == ["boats.md"]
    assert "tall" not in during["answer"]


async def test_tenants_share_no_ranking(tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path)
    for tenant in ("a", "b"):
        await ingest(corpus, "tower.md", FILES["tower.md"], tenant)
    stages, down = retrieval_stages(corpus), Failing(StageUnavailableError("embed"))
    store = StaleStore(CacheLevel("stale", LevelConfig()), 60.0, lambda stage: None)
    whole, stopped = (
        StaleRetrieval(RetrievalPipeline(each, RetrievalConfig()), store, corpus.views, ())
        for each in (stages, replace(stages, embedder=down, lexical=down))
    )
    queries = [RetrievalQuery(ASKED["query"], Scope(tenant, ("default",)), 3) for tenant in ("a", "b")]

    before = await whole.retrieve(queries[0], within(PATIENCE_S))
    stale = await stopped.retrieve(queries[0], within(PATIENCE_S))
    with pytest.raises(StageUnavailableError):
        await stopped.retrieve(queries[1], within(PATIENCE_S))
    corpus.close()

    assert [each.key for each in stale.passages] == [each.key for each in before.passages] != []


async def test_without_the_setting_nothing_is_kept(tmp_path: Path, server: ScriptedServer) -> None:
    async with serving(tmp_path, server, stale={"enabled": False}) as service:
        await service.ask()
        service.stop_generation()
        quoted = await service.ask()
        service.stop_retrieval()
        refused = await service.ask()

    assert quoted["degraded"] == ["generate"]
    assert refused["error"]["code"] == "stage_unavailable"


async def test_a_result_is_bounded_in_age_and_size() -> None:
    now = [1000.0]
    store = StaleStore(CacheLevel("stale", LevelConfig(max_mb=1)), 60.0, lambda stage: None, lambda: now[0])
    store.put("key", {"text": "a"})
    store.put("large", {"text": "a" * 2**20})

    now[0] = 1060.0
    assert await store.get("key") == ({"text": "a", "at": 1000.0}, 60.0)
    assert await store.get("large") is None
    now[0] = 900.0  # the clock was set back
    assert await store.get("key") == ({"text": "a", "at": 1000.0}, 0.0)
    now[0] = 1061.0
    assert await store.get("key") is None
    store.level.put("odd", b"{}")
    store.level.put("no json", b"\xff")
    assert await store.get("odd") is None
    assert await store.get("no json") is None


def test_markers_follow_their_passages_into_another_order() -> None:
    text = "It is tall [1], and old [2, 3]. `x[1]` stays, and [9] too."

    assert renumbered(text, {1: 3, 2: 1, 3: 2}) == "It is tall [3], and old [1, 2]. `x[1]` stays, and [9] too."
