"""Models by URL get their caller's place in the trace: the W3C header names the span of the replica that sends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.calls.inline import InlineHandle, InlineStage
from deployments.embedder import Embedder, EmbedderClient
from deployments.generator import Generator, GeneratorClient
from deployments.reranker import Reranker, RerankerClient
from deployments.telemetry.spans import Recorder, Span
from deployments.telemetry.trace_context import unrecorded
from models.catalog import Catalog
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationRequest
from models.types.request_context import RequestContext
from tests.contexts import TRACEPARENT, within
from tests.patience import PATIENCE_S
from tests.remote_server import ScriptedServer, chunk, scripted_server

TEXT = "The tower is 40 metres tall."
PASSAGE = Passage(1, "c", "f", "f.md", TEXT, 0, len(TEXT))


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


@pytest.fixture
def catalog(tmp_path: Path, server: ScriptedServer) -> Catalog:
    server.requests.clear()
    options = {"base_url": server.url, "model": "m", "max_retries": 0}
    own = {
        "embedding": ("openai", {"dim": 8}),
        "reranking": ("jina", {}),
        "generation": ("openai", {"max_model_len": 9000}),
    }
    entries = {
        task: {"remote": {"kind": kind, "licence": "none", "options": options | more}}
        for task, (kind, more) in own.items()
    }
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump(entries))
    return Catalog.open(path)


async def opened(kind: type, catalog: Catalog) -> InlineHandle:
    handle = InlineStage(kind, (catalog,), {"model": "remote"}).open()
    await handle.start()
    return handle


def traced(trace_context: str) -> RequestContext:
    context = within(PATIENCE_S)
    return RequestContext("r", context.tenant, context.deadline, trace_context=trace_context)


async def embed(catalog: Catalog, server: ScriptedServer, context: RequestContext) -> None:
    server.script = [{"object": "list", "data": [{"index": 0, "embedding": [1.0] * 8}]}]
    await EmbedderClient(await opened(Embedder, catalog), "embed").embed_query(TEXT, context)


async def rerank(catalog: Catalog, server: ScriptedServer, context: RequestContext) -> None:
    server.script = [{"results": [{"index": 0, "relevance_score": 0.5}]}]
    await RerankerClient(await opened(Reranker, catalog), "rerank").score("tower", [TEXT], context)


async def generate(catalog: Catalog, server: ScriptedServer, context: RequestContext) -> None:
    server.script = [[chunk("It is tall."), chunk("", "stop"), "[DONE]"]]
    handle = await opened(Generator, catalog)
    asking = GenerationRequest("r", (ChatMessage("user", "How tall?"),), (PASSAGE,))
    async for _ in GeneratorClient(handle, "generate").stream(asking, context):
        pass
    for link in handle.replica._models._links:
        await link.slot.close()


async def spans_of(work: Any, catalog: Catalog, server: ScriptedServer) -> list[Span]:
    recorder = Recorder(Span(TRACEPARENT.split("-")[1], "", "POST", "server"))
    with recorder:
        await work(catalog, server, traced(recorder.root.traceparent))
    return recorder.spans


@pytest.mark.parametrize("work", [embed, rerank, generate])
async def test_the_header_names_the_replicas_span(work: Any, catalog: Catalog, server: ScriptedServer) -> None:
    spans = await spans_of(work, catalog, server)

    ((request, _),) = server.requests
    version, trace_id, parent_id, flags = request.headers["traceparent"].split("-")
    (sender,) = [span for span in spans if span.span_id == parent_id]
    assert (version, trace_id, flags) == ("00", TRACEPARENT.split("-")[1], "01")
    assert sender.kind == "server"
    assert sender.name.split(".")[0] == work.__name__
    (call,) = [span for span in spans if span.span_id == sender.parent_id]
    assert (call.name, call.kind) == (work.__name__, "client")


async def test_a_trace_that_is_not_recorded_is_passed_on_as_such(catalog: Catalog, server: ScriptedServer) -> None:
    await generate(catalog, server, traced(unrecorded(TRACEPARENT)))
    await generate(catalog, server, traced(""))

    (first, _), (second, _) = server.requests
    assert first.headers["traceparent"] == unrecorded(TRACEPARENT)
    assert "traceparent" not in second.headers
