"""A second embedding model: questions stay whole while the Embedder is gone, but only with the Embedder's vectors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from deployments.calls.envelope import Envelope
from deployments.calls.inline import InlineHandle
from deployments.calls.stage_breaker import StageBreakerConfig
from deployments.embedder import Embedder, EmbedderClient, InputsCall
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.embedding.hashing_model import HashingConfig, HashingModel
from models.errors.base import RagError
from models.errors.stages import StageUnavailableError
from models.types.stage_results import Embeddings
from serve.api.services import BackgroundWork
from serve.ingress import fallback_models
from serve.live_services import LiveServices
from serve.pipelines import fallback_embedder
from serve.pipelines.equal_vectors import EmbedFallbackConfig
from serve.pipelines.fallback_embedder import FallbackEmbedder
from serve.pipelines.ingest import IngestConfig, IngestPipeline
from serve.pipelines.retrieve import RetrievalConfig
from serve.settings import Settings
from tests.contexts import within
from tests.inline import InlineParser, inline_clients, open_corpus
from tests.patience import PATIENCE_S
from tests.remote_server import ScriptedServer, scripted_server

DIM, LONG_S = 256, 3600.0
QUESTION = {"query": "How hot does the oven get?", "mode": "dense"}
BY_KEYWORDS = QUESTION | {"mode": "hybrid"}
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def serving_vectors(dim: int = DIM, factor: float = 1.0) -> Answer:
    """The answers of a server whose weights are those of the hashing model, if `factor` is 1."""
    model = HashingModel("weights", HashingConfig(dim=dim))

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        vectors = model.forward(model.tokenize_queries(body["input"]))
        vectors[:, : dim // 2] *= factor
        rows = [{"object": "embedding", "index": place, "embedding": row.tolist()} for place, row in enumerate(vectors)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return {"object": "list", "data": rows, "model": "weights", "usage": usage}

    return answer


class Stoppable(Embedder):
    """The Embedder's replica, which hangs while `is_stopped`, as a process that got SIGSTOP."""

    is_stopped = False

    async def embed_batch(self, *arguments: Any) -> list[Embeddings | RagError]:
        if self.is_stopped:
            await asyncio.Event().wait()
        return await super().embed_batch(*arguments)


@dataclass(frozen=True)
class Running:
    """The application, and its parts that a test breaks."""

    http: httpx.AsyncClient
    embedder: FallbackEmbedder
    replica: Stoppable
    stop_server: Callable[[], None]  # of the primary
    second: ScriptedServer

    async def ask(self, **fields: Any) -> dict[str, Any]:
        response = await self.http.post("/v1/query", json=QUESTION | fields)
        return {"status": response.status_code, **response.json()}

    async def has_state(self, alias: str, state: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while dict((await self.embedder.status(within(PATIENCE_S))).fallbacks)[alias] != state:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def patient_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback_embedder, "CHECK_BUDGET_S", PATIENCE_S)


@pytest.fixture
def servers() -> Iterator[tuple[ExitStack, ScriptedServer, ScriptedServer]]:
    """Two servers of equal weights. The stack closes the first one."""
    with ExitStack() as first_stack, scripted_server() as second:
        first = first_stack.enter_context(scripted_server())
        first.script, second.script = [serving_vectors()], [serving_vectors()]
        yield first_stack, first, second


def catalog_of(folder: Path, **urls: str) -> Catalog:
    """A remote model at each URL, and local ones: `weights` has the same vectors, `short` shorter ones."""
    remote = {"model": "weights", "dim": DIM, "max_retries": 0, "connect_s": 2}
    entries = {name: ("openai", remote | {"base_url": url}) for name, url in urls.items()}
    local = {"weights": ("hashing", {"dim": DIM}), "short": ("hashing", {"dim": DIM // 2})}
    embedding = {
        name: {"kind": kind, "licence": "none", "options": options}
        for name, (kind, options) in (entries | local).items()
    }
    (folder / "catalog.yaml").write_text(yaml.safe_dump({"embedding": embedding}))
    return Catalog.open(folder / "catalog.yaml")


async def ingest_ovens(corpus: Corpus, embedder: EmbedderClient) -> None:
    file = corpus.files.add("default", "ovens.md", b"# Ovens\n\nThe oven heats to 250 degrees.\n", "assistants")
    corpus.store_files.attach("default", "default", file.file_id)
    pipeline = IngestPipeline(InlineParser(), embedder, corpus, IngestConfig())
    for job in corpus.jobs.claim("test", 10, PATIENCE_S):
        await pipeline.ingest(job)


@asynccontextmanager
async def running(
    folder: Path,
    servers: tuple[ExitStack, ScriptedServer, ScriptedServer],
    *models: str,
    is_stopped: bool = False,
    **options: Any,
) -> AsyncIterator[Running]:
    """The application whose Embedder calls the first server, with `models` as fallbacks.

    `is_stopped`: the Embedder hangs from the start, over the documents of an application before.
    """
    stack, first, second = servers
    catalog, corpus = catalog_of(folder, first=first.url, second=second.url), open_corpus(folder)
    replica = Stoppable(catalog)
    await replica.reconfigure({"model": "first"})
    client = EmbedderClient(InlineHandle(replica, {}), "embed")
    settings = Settings(
        embed_fallback=EmbedFallbackConfig(models=models, **({"check_s": 1.0, "try_s": PATIENCE_S} | options)),
        retrieval=RetrievalConfig(search_s=PATIENCE_S),
        breaker=StageBreakerConfig(failures=2, open_s=600),
    )
    fallbacks = fallback_models(settings, catalog)
    embedder = FallbackEmbedder(client, fallbacks, settings.embed_fallback, corpus.embedding_references)
    if not is_stopped:
        await ingest_ovens(corpus, client)
    replica.is_stopped = is_stopped
    background: list[BackgroundWork] = [embedder]
    clients = inline_clients(corpus)
    clients = replace(
        clients,
        embedder=embedder,
        statuses={**clients.statuses, "embed": embedder},
        breakers={"embed": client.breakers},
        background=background,
        has_second_embedder=lambda: embedder.has_equal,
    )
    live = LiveServices(settings, Catalog.open(None), corpus, clients)
    async with live.app.router.lifespan_context(live.app):
        transport = httpx.ASGITransport(app=live.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ragserve", timeout=PATIENCE_S) as http:
            yield Running(http, embedder, replica, stack.close, second)


@pytest.mark.parametrize("model", ["weights", "second"])
async def test_a_question_is_whole_while_the_embedders_server_is_stopped(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer], model: str
) -> None:
    async with running(tmp_path, servers, model) as service:
        await service.has_state(model, "ready")
        before = await service.ask()
        service.stop_server()
        during = await service.ask(query="How hot can the oven be?")
        refused = await service.ask(query="How hot is it?", degrade="never")

    assert (before["degraded"], before["models"]["embed"]) == ([], "first")
    assert (during["degraded"], during["models"]["embed"]) == (["embed_fallback"], model)
    assert during["fallbacks"] == {"embed": {"first": "model_unavailable"}}
    assert during["degraded_reasons"] == {"embed_fallback": "first model_unavailable"}
    assert "250 degrees" in during["answer"]
    assert (refused["status"], refused["error"]["code"]) == (503, "degraded")


def zeros_for(text: str) -> Answer:
    """As serving_vectors, but `text` gets a vector of zeros."""
    serve = serving_vectors()

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        response = serve(body)
        for row, each in zip(response["data"], body["input"], strict=True):
            row["embedding"] = [0.0] * DIM if each == text else row["embedding"]
        return response

    return answer


@pytest.mark.parametrize("models", [("weights",), ()], ids=["fallback", "none"])
async def test_a_question_without_a_usable_vector_goes_on_by_a_fallback_or_by_keywords(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer], models: tuple[str, ...]
) -> None:
    text = "How hot can the oven be?"
    servers[1].script = [zeros_for(text)]
    async with running(tmp_path, servers, *models) as service:
        for model in models:
            await service.has_state(model, "ready")
        other = await service.ask(**BY_KEYWORDS)
        answer = await service.ask(**BY_KEYWORDS | {"query": text})
        dense = await service.ask(query=text)

    assert other["degraded"] == []
    assert "250 degrees" in answer["answer"]
    if models:
        assert answer["fallbacks"] == dense["fallbacks"] == {"embed": {"first": "unusable_vector"}}
    else:
        assert answer["degraded_reasons"] == {"dense": "embed unusable_vector"}
        assert (dense["status"], dense["error"]["code"]) == (422, "unusable_vector")


async def test_the_next_model_of_the_list_answers_where_the_first_is_gone_too(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer]
) -> None:
    async with running(tmp_path, servers, "second", "weights", check_s=3600) as service:
        await service.has_state("second", "ready")
        await service.has_state("weights", "ready")
        service.stop_server()
        service.second.script = [503]
        answer = await service.ask()

    assert answer["models"]["embed"] == "weights"
    assert answer["fallbacks"]["embed"].keys() == {"first", "second"}


async def test_a_hung_embedder_costs_part_of_the_time_until_its_breaker_opens(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer]
) -> None:
    async with running(tmp_path, servers, "weights", try_s=0.05, check_s=3600) as service:
        await service.has_state("weights", "ready")
        service.replica.is_stopped = True
        answers = [await service.ask(query=f"How hot is oven {number}?") for number in range(4)]
        ready = (await service.http.get("/readyz")).json()

    assert [answer["degraded"] for answer in answers] == [["embed_fallback"]] * 4
    assert answers[0]["fallbacks"] == {"embed": {"first": "deadline_exceeded"}}
    assert answers[3]["fallbacks"] == {"embed": {"first": "breaker_open"}}
    assert ready["ready"]
    assert "embed: its breaker is open; answers do without it" in ready["problems"]


@pytest.mark.parametrize("answer", [serving_vectors(factor=0.5), serving_vectors(factor=-1.0)])
async def test_a_model_with_other_vectors_is_refused_and_named(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer], answer: Answer
) -> None:
    servers[2].script = [answer]
    async with running(tmp_path, servers, "second", "short") as service:
        await service.has_state("second", "unequal_vectors")
        await service.has_state("short", "unequal_vectors")
        ready = (await service.http.get("/readyz")).json()
        service.stop_server()
        keywords = await service.ask(**BY_KEYWORDS)

    assert "embed: fallback second is unequal_vectors" in ready["problems"]
    assert ready["stages"]["embed"]["fallbacks"] == {"second": "unequal_vectors", "short": "unequal_vectors"}
    assert keywords["degraded_reasons"] == {"dense": "embed model_unavailable"}


async def test_vectors_that_changed_are_refused_at_the_switch(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer]
) -> None:
    async with running(tmp_path, servers, "second", check_s=3600) as service:
        await service.has_state("second", "ready")
        service.second.script = [serving_vectors(factor=-1.0)]
        service.stop_server()
        answers = [await service.ask(**BY_KEYWORDS | {"query": f"oven {number}"}) for number in range(2)]

    assert [answer["degraded"] for answer in answers] == [["dense"]] * 2


async def test_a_fallback_answers_in_a_process_that_starts_while_the_embedder_hangs(
    tmp_path: Path,
    servers: tuple[ExitStack, ScriptedServer, ScriptedServer],
) -> None:
    async with running(tmp_path, servers, "weights") as before:
        await before.has_state("weights", "ready")
    async with running(tmp_path, servers, "weights", is_stopped=True, try_s=0.05) as service:
        await service.has_state("weights", "ready")
        answer = await service.ask()

    assert (answer["degraded"], answer["models"]["embed"]) == (["embed_fallback"], "weights")
    assert "250 degrees" in answer["answer"]


async def test_documents_and_other_generations_wait_for_the_embedder(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer]
) -> None:
    async with running(tmp_path, servers, "weights") as service:
        await service.has_state("weights", "ready")
        service.stop_server()

        with pytest.raises(RagError):
            await service.embedder.embed_documents(["A text."], within(PATIENCE_S))
        with pytest.raises(RagError):
            await service.embedder.embed_inputs(["A text."], False, None, within(PATIENCE_S))
        with pytest.raises(RagError):
            await service.embedder.embed_query("A text.", within(PATIENCE_S), "weights@other")
        embedded = await service.embedder.embed_query("oven", within(PATIENCE_S))

    expected = HashingModel("weights", HashingConfig(dim=DIM))
    assert embedded.generation == "first@weights"
    assert np.allclose(embedded.vectors, expected.forward(expected.tokenize_queries(["oven"])))


class Abandoning(Embedder):
    """The Embedder's replica, which keeps one question, and fails it in the end."""

    kept = "How hot?"

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog)
        self.has_begun, self.end = asyncio.Event(), asyncio.Event()

    async def embed_batch(self, calls: list[InputsCall], envelopes: list[Envelope]) -> list[Embeddings | RagError]:
        if calls[0].inputs != [self.kept]:
            return await super().embed_batch(calls, envelopes)
        self.has_begun.set()
        await self.end.wait()
        return [StageUnavailableError("embed")]


async def test_a_question_that_waits_while_the_model_is_swapped_twice_gets_the_embedders_error(
    tmp_path: Path, servers: tuple[ExitStack, ScriptedServer, ScriptedServer]
) -> None:
    catalog = catalog_of(tmp_path, first=servers[1].url, second=servers[2].url)
    replica = Abandoning(catalog)
    client = EmbedderClient(InlineHandle(replica, {}), "embed")
    config = EmbedFallbackConfig(models=("weights",), check_s=1.0, try_s=600)
    models = fallback_models(Settings(embed_fallback=config), catalog)
    embedder = FallbackEmbedder(client, models, config, open_corpus(tmp_path).embedding_references)

    async def swap(alias: str) -> str:
        """Returns the generation, once the fallback was compared with it."""
        await replica.reconfigure({"model": alias})
        generation = ""
        async with asyncio.timeout(PATIENCE_S):
            while not (generation.startswith(alias) and models[0].is_equal(generation)):
                await asyncio.sleep(0.05)
                generation = (await client.embed_query("oven", within(PATIENCE_S))).generation
        return generation

    await replica.reconfigure({"model": "first"})
    run = asyncio.ensure_future(embedder.run())
    generation = await swap("first")
    question = asyncio.ensure_future(embedder.embed_query(replica.kept, within(LONG_S), generation))
    await replica.has_begun.wait()
    await swap("second")
    await swap("weights")
    replica.end.set()

    with pytest.raises(StageUnavailableError):
        await question
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
