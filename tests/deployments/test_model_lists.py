"""A stage with a list of models: which one answers, what the answer says of the others, and their breakers."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.calls.inline import InlineHandle, InlineStage
from deployments.cluster.environment import free_port
from deployments.generator import Generator, GeneratorClient, GeneratorConfig, quoting_models
from deployments.replica.user_config import parse_user_config
from deployments.reranker import Reranker, RerankerClient, RerankerConfig
from models.breaker import Breaker, BreakerConfig
from models.catalog import Catalog
from models.errors.configuration import ConfigError
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.types.chunks import Passage
from models.types.generation import ChatMessage, CompletionRequest, GenerationRequest, SamplingOptions
from serve.live_services import LiveServices
from serve.settings import Settings
from tests.conftest import ROOT
from tests.contexts import envelope
from tests.inline import ingest, inline_clients, open_corpus
from tests.patience import PATIENCE_S
from tests.remote_server import ScriptedServer, chunk, scripted_server

START_LIMIT_S = 300.0  # of a process, on a busy machine
QUESTION = "How tall is the tower?"
TEXT = "The tower is 40 metres tall. It stands in the north."
PASSAGE = Passage(1, "chunk", "file", "tower.md", TEXT, 0, len(TEXT))
WHOLE = [chunk("It is tall. [1]"), chunk("", "stop"), "[DONE]"]
BREAKER = {"failures": 2, "open_s": 600}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


def catalog_of(folder: Path, **urls: str) -> Catalog:
    """A catalog with a remote generator and a remote reranker at each of the URLs."""
    options = {"model": "extractive", "max_model_len": 8000, "max_retries": 0, "connect_s": 2}
    entries = {name: _entry("openai", options | {"base_url": url}) for name, url in urls.items()}
    rerankers = {
        name: _entry("tei", {"base_url": url.removesuffix("/v1"), "model": "m", "max_retries": 0})
        for name, url in urls.items()
    }
    path = folder / "catalog.yaml"
    path.write_text(yaml.safe_dump({"generation": entries, "reranking": rerankers}))
    return Catalog.open(path)


def _entry(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "licence": "none", "options": options}


@asynccontextmanager
async def generating(catalog: Catalog, *models: str, **config: Any) -> AsyncIterator[InlineHandle]:
    handle = InlineStage(Generator, (catalog,), {"model": list(models), "breaker": BREAKER, **config}).open()
    await handle.start()
    yield handle
    for link in handle.replica._models._links:
        await link.slot.close()


async def answer(
    replica: Generator, budget_s: float = PATIENCE_S, **sampling: Any
) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """The text, the model that wrote it, and the models before it."""
    request = GenerationRequest("r", (ChatMessage("user", QUESTION),), (PASSAGE,), SamplingOptions(**sampling))
    deltas = [delta async for delta in replica.stream(request, envelope(budget_s))]
    return "".join(delta.text for delta in deltas), deltas[-1].model, deltas[-1].fell_back


def chat(model: str, **fields: Any) -> CompletionRequest:
    return CompletionRequest("r", "chat", {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields})


async def test_the_next_model_answers_and_says_why(tmp_path: Path, server: ScriptedServer) -> None:
    catalog = catalog_of(tmp_path, down="http://127.0.0.1:9/v1", up=server.url)
    server.script = [WHOLE]

    async with generating(catalog, "down", "up", "extractive") as handle:
        answers = [await answer(handle.replica) for _ in range(3)]
        server.script = [503]
        quoted, _ = [await answer(handle.replica) for _ in range(2)]
        status = await handle.replica.status()

    assert answers[0] == ("It is tall. [1]", "up", (("down", "model_unavailable"),))
    assert answers[2][1:] == ("up", (("down", "breaker_open"),))
    assert quoted[1:] == ("extractive", (("down", "breaker_open"), ("up", "model_unavailable")))
    assert "40 metres" in quoted[0]
    assert status.model == "down"
    assert dict(status.models) == {"down": "open", "up": "open", "extractive": "ready"}


async def test_a_model_answers_again_when_its_server_does(tmp_path: Path, server: ScriptedServer) -> None:
    server.script, breaker = [503], {"failures": 1, "open_s": 0.05}

    async with generating(catalog_of(tmp_path, up=server.url), "up", "extractive", breaker=breaker) as handle:
        during = await answer(handle.replica)
        server.script, end = [WHOLE], time.monotonic() + PATIENCE_S
        after = await answer(handle.replica)
        while after[1] != "up" and time.monotonic() < end:  # until the breaker lets a trial through
            after = await answer(handle.replica)

    assert during[1] == "extractive"
    assert after[1:] == ("up", ())


async def test_a_slow_model_is_left_for_the_next(tmp_path: Path, server: ScriptedServer) -> None:
    server.script, server.pause_s = [WHOLE], 1.0

    async with generating(catalog_of(tmp_path, slow=server.url), "slow", "extractive", try_s=0.05) as handle:
        late = await answer(handle.replica)

    assert late[1:] == ("extractive", (("slow", "deadline_exceeded"),))


async def test_a_slow_model_leaves_half_of_a_short_deadline_to_the_next(tmp_path: Path, server: ScriptedServer) -> None:
    server.script, server.pause_s = [WHOLE], 1.0

    async with generating(catalog_of(tmp_path, slow=server.url), "slow", "extractive", try_s=600) as handle:
        late = await answer(handle.replica, budget_s=0.1)

    assert late[1:] == ("extractive", (("slow", "deadline_exceeded"),))


async def test_a_mistake_of_the_caller_is_not_tried_elsewhere(tmp_path: Path, server: ScriptedServer) -> None:
    server.script = [400]

    async with generating(catalog_of(tmp_path, strict=server.url), "strict", "extractive") as handle:
        with pytest.raises(InvalidRequestError):
            await answer(handle.replica)

        assert dict((await handle.replica.status()).models)["strict"] == "ready"


async def test_what_no_model_answers_fails_as_the_first_one_did(tmp_path: Path, server: ScriptedServer) -> None:
    server.script = [503]

    async with generating(catalog_of(tmp_path, down=server.url), "down", "extractive") as handle:
        with pytest.raises(StageUnavailableError):  # the model that quotes cannot write JSON
            await answer(handle.replica, response_schema={"type": "object"})


async def test_a_text_that_has_begun_is_not_begun_again(tmp_path: Path, server: ScriptedServer) -> None:
    server.script = [[chunk("It is "), None]]

    async with generating(catalog_of(tmp_path, cut=server.url), "cut", "extractive") as handle:
        with pytest.raises(StageUnavailableError):
            await answer(handle.replica)


async def test_a_chat_falls_back_from_the_model_that_it_names(tmp_path: Path, server: ScriptedServer) -> None:
    catalog = catalog_of(tmp_path, down="http://127.0.0.1:9/v1", up=server.url)
    message = {"role": "assistant", "content": "Hello."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    server.script = [{"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}]

    async with generating(catalog, "down", "up") as handle:
        (fallen,) = [item async for item in handle.replica.complete(chat("down"), envelope(PATIENCE_S))]
        (named,) = [item async for item in handle.replica.complete(chat("up"), envelope(PATIENCE_S))]
        server.script = [503]
        with pytest.raises(StageUnavailableError):
            _ = [item async for item in handle.replica.complete(chat("up"), envelope(PATIENCE_S))]

    assert (fallen["model"], fallen["degraded"]) == ("up", ["generate_fallback"])
    assert fallen["fallbacks"] == {"generate": {"down": "model_unavailable"}}
    assert named["model"] == "up"
    assert "fallbacks" not in named


async def test_a_model_that_does_not_load_leaves_the_others(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, up="http://127.0.0.1:9/v1")
    catalog.entries["generation"]["keyless"] = catalog.entries["generation"]["up"].model_copy(
        update={"options": {**catalog.entries["generation"]["up"].options, "key_variable": "NO_SUCH_KEY"}}
    )

    async with generating(catalog, "keyless", "extractive") as handle:
        quoted = await answer(handle.replica)
        await handle.check_health()
        status = await handle.replica.status()
        await handle.replica.reconfigure({"model": "extractive"})
        alone = await answer(handle.replica)

    assert quoted[1:] == ("extractive", (("keyless", "stage_unavailable"),))
    assert (status.model, dict(status.models)["keyless"]) == ("keyless", "not_loaded")
    assert "'keyless' does not serve, so 'extractive' does" in status.error
    assert alone[1:] == ("extractive", ())


async def test_candidates_are_reranked_by_the_next_model(tmp_path: Path, server: ScriptedServer) -> None:
    server.script = [{"not": "ranks"}]
    catalog = catalog_of(tmp_path, down="http://127.0.0.1:9/v1", odd=server.url)
    handle = InlineStage(
        Reranker, (catalog,), {"model": ["down", "odd", "late-interaction"], "breaker": BREAKER}
    ).open()
    await handle.start()
    client = RerankerClient(handle, "rerank")

    scored = await client.score(QUESTION, ["The tower is tall.", "Boats wait."], envelope(PATIENCE_S).to_context())

    reasons = (("down", "model_unavailable"), ("odd", "model_unavailable"))  # the second is no server of TEI's
    assert (scored.model, scored.fell_back) == ("late-interaction", reasons)
    assert scored.relevance[0] > scored.relevance[1]


@contextmanager
def second_ragserve(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another service in a child process, until the block ends or it is killed."""
    folder.mkdir(exist_ok=True)
    child = subprocess.Popen([sys.executable, "-m", "tests.serving_child", str(port), str(folder)], cwd=ROOT)
    try:
        end = time.monotonic() + START_LIMIT_S
        while not is_healthy(port):
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield child
    finally:
        child.kill()
        child.wait()


def is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.slow
async def test_a_remote_that_is_killed_is_replaced(tmp_path: Path) -> None:
    port = free_port()
    catalog = catalog_of(tmp_path, remote=f"http://127.0.0.1:{port}/v1")
    corpus = open_corpus(tmp_path)
    await ingest(corpus, "tower.md", TEXT.encode())
    async with generating(catalog, "remote", "extractive") as handle:
        generator = GeneratorClient(handle, "generate")
        clients = replace(inline_clients(corpus), generator=generator, quoting=quoting_models(catalog))
        clients = replace(clients, statuses={**clients.statuses, "generate": generator})
        live = LiveServices(Settings(), catalog, corpus, clients)
        transport = httpx.ASGITransport(app=live.app)
        async with (
            live.app.router.lifespan_context(live.app),
            httpx.AsyncClient(transport=transport, base_url="http://ragserve", timeout=PATIENCE_S) as http,
        ):

            async def ask() -> dict[str, Any]:
                return (await http.post("/v1/query", json={"query": QUESTION})).json()

            with second_ragserve(tmp_path / "second", port) as child:
                before = await ask()
                listed = [model["id"] for model in (await http.get("/v1/models")).json()["data"]]
                child.kill()
                child.wait()
                during = [await ask() for _ in range(2)]
            with second_ragserve(tmp_path / "second", port):
                end = time.monotonic() + PATIENCE_S
                after = await ask()
                while after["degraded"] and time.monotonic() < end:  # until the breaker lets a trial through
                    after = await ask()

    assert (before["models"]["generate"], before["degraded"], before["fallbacks"]) == ("remote", [], {})
    assert listed == ["ragserve", "remote", "extractive"]
    for answered in during:
        assert answered["models"]["generate"] == "extractive"
        assert answered["degraded"] == ["generate_fallback"]
        reason = answered["fallbacks"]["generate"]["remote"]
        assert answered["degraded_reasons"] == {"generate_fallback": f"remote {reason}"}
        assert answered["fallbacks"]["generate"]["remote"] in ("model_unavailable", "breaker_open")
        assert "40 metres" in answered["answer"]


def test_an_open_breaker_lets_one_trial_through() -> None:
    now = [0.0]
    breaker = Breaker(BreakerConfig(failures=2, open_s=10), lambda: now[0])

    breaker.fail()
    assert breaker.allows()
    breaker.fail()
    assert not breaker.allows()
    now[0] = 10
    assert (breaker.allows(), breaker.allows()) == (True, False)
    breaker.fail()
    now[0] = 19
    assert not breaker.allows()
    now[0] = 21
    assert breaker.allows()
    breaker.succeed()
    assert (breaker.is_open, breaker.allows(), breaker.allows()) == (False, True, True)


@pytest.mark.parametrize(
    ("model", "message"),
    [([], "a list of one to eight"), (["a", 7], "a list of one to eight"), (["a", "b", "a"], "appears twice")],
)
def test_a_wrong_list_is_refused(model: list[Any], message: str) -> None:
    for kind in (GeneratorConfig, RerankerConfig):
        with pytest.raises(ConfigError, match=message):
            parse_user_config(kind, {"model": model})

    assert parse_user_config(GeneratorConfig, {"model": ["a", "b"]}).aliases == ("a", "b")
