"""Traces, as an OTLP receiver gets them over HTTP: one a request, from its caller's header to each stage and back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from deployments.calls.coalescer import answers_of
from deployments.calls.envelope import Envelope
from deployments.calls.inline import InlineHandle
from deployments.embedder import EmbedderClient, InputsCall
from deployments.replica.received import received
from deployments.telemetry.otlp import Tracer, TracingConfig
from deployments.telemetry.spans import Traced
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.types.stage_results import Embeddings
from serve.settings import Settings
from tests.contexts import TRACEPARENT, within
from tests.inline import InlineEmbedder
from tests.otlp_receiver import Receiver, attributes
from tests.serve.test_live_services import QUESTION, serving

TRACE_ID = TRACEPARENT.split("-")[1]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.close()


class EmbedProbe:
    """A replica with feature hashing, for the real client."""

    stage = "embed"

    def __init__(self) -> None:
        self._model = InlineEmbedder()

    @received
    async def embed_batch(self, message: list[InputsCall], envelopes: list[Envelope]) -> list[Embeddings | RagError]:
        return await answers_of("embed", envelopes, map(self._embed, message, envelopes))

    async def _embed(self, call: InputsCall, envelope: Envelope) -> Embeddings:
        if call.inputs[0] == "too much":
            raise OverloadedError("embed")
        return await self._model.embed_query(str(call.inputs[0]), envelope.to_context(), call.generation)

    async def status(self) -> Any:
        return await self._model.status(within(1))


class RemoteHandle(InlineHandle):
    """In this process, but called as a replica elsewhere: calls share messages."""

    @property
    def is_inline(self) -> bool:
        return False


@asynccontextmanager
async def traced(folder: Path, receiver: Receiver, **config: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application with its embedder behind a client. The receiver has every span when the block has ended."""
    settings = Settings(tracing=TracingConfig(endpoint=receiver.endpoint, **config))
    embedder = EmbedderClient(RemoteHandle(EmbedProbe(), {}), "embed")
    async with serving(folder, settings, embedder=embedder) as (_, http):
        yield http


async def test_a_request_is_one_trace_from_its_callers_header_to_the_replica(
    tmp_path: Path, receiver: Receiver
) -> None:
    headers = {"traceparent": TRACEPARENT, "x-request-id": "req-7"}
    async with traced(tmp_path, receiver) as http:
        await http.post("/v1/query", json=QUESTION, headers=headers)

    spans = receiver.by_name()
    ids = {span.span_id: span.name for span in receiver.spans}
    assert {span.trace_id.hex() for span in receiver.spans} == {TRACE_ID}
    root, step, call, replica = spans["POST /v1/query"], spans["embed step"], spans["embed"], spans["embed.embed_batch"]
    assert root.parent_span_id.hex() == TRACEPARENT.split("-")[2]
    assert ids[step.parent_span_id] == "POST /v1/query"
    assert (ids[call.parent_span_id], ids[replica.parent_span_id]) == ("embed step", "embed")
    assert (root.kind, call.kind, replica.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER)
    assert root.start_time_unix_nano <= call.start_time_unix_nano <= replica.start_time_unix_nano
    assert replica.end_time_unix_nano <= call.end_time_unix_nano <= root.end_time_unix_nano
    assert attributes(root)["http.route"] == "/v1/query"
    assert attributes(root)["ragserve.request_id"] == "req-7"
    assert attributes(root)["ragserve.outcome"] in ("cited", "uncited", "declined")
    assert attributes(call)["gen_ai.operation.name"] == "embeddings"
    assert attributes(call)["gen_ai.response.model"] == "hashing"
    assert not [span for span in receiver.spans if QUESTION["query"] in str(span)]


async def test_a_shared_message_is_linked_to_its_members(receiver: Receiver) -> None:
    tracer = Tracer(TracingConfig(endpoint=receiver.endpoint, sample_rate=1))
    client = EmbedderClient(RemoteHandle(EmbedProbe(), {}), "embed")

    async def ask(question: str) -> None:
        recorder = tracer.begin(question, "")
        with recorder:
            await client.embed_query(question, replace(within(60), trace_context=recorder.root.traceparent))
        tracer.end(recorder, 200, "")

    await asyncio.gather(ask("why"), ask("how"), ask("when"))  # in one turn of the loop, so in one message
    await asyncio.to_thread(tracer.close)

    replicas = [span for span in receiver.spans if span.name == "embed.embed_batch"]
    calls = {span.span_id: span.trace_id for span in receiver.spans if span.name == "embed"}
    assert len({span.trace_id for span in replicas}) == 3
    for span in replicas:
        assert attributes(span)["messaging.batch.message_count"] == 3
        assert len(span.links) == 2
        assert all(calls[link.span_id] == link.trace_id != span.trace_id for link in span.links)


@pytest.mark.parametrize(
    ("config", "flags", "is_kept"),
    [
        ({"sample_rate": 0}, "00", False),
        ({"sample_rate": 0}, "01", True),
        ({"sample_rate": 0, "follow_caller": False}, "01", False),
        ({"sample_rate": 0, "slow_s": 0}, "00", True),
        ({"sample_rate": 1}, "00", True),
    ],
    ids=["rate", "caller", "not the caller", "slow", "all"],
)
async def test_a_trace_is_kept_by_rate_by_slowness_or_for_its_caller(
    tmp_path: Path, receiver: Receiver, config: dict[str, Any], flags: str, is_kept: bool
) -> None:
    async with traced(tmp_path, receiver, **config) as http:
        await http.get("/healthz", headers={"traceparent": TRACEPARENT[:-2] + flags})

    assert bool(receiver.spans) is is_kept


async def test_a_failed_stage_has_its_code(tmp_path: Path, receiver: Receiver) -> None:
    async with traced(tmp_path, receiver, sample_rate=1) as http:
        response = await http.post("/v1/query", json={"query": "too much", "mode": "dense"})

    spans = receiver.by_name()
    assert response.status_code == 429
    assert spans["embed"].status.message == "overloaded"
    request = attributes(spans["POST /v1/query"])
    assert request["http.response.status_code"] == 429
    assert request["ragserve.outcome"] == "overloaded"


async def test_requests_of_one_trace_keep_their_own_spans(tmp_path: Path, receiver: Receiver) -> None:
    async with traced(tmp_path, receiver) as http:
        questions = [{"query": "Why so hot?"}, {"query": "Why so cold?"}]
        await asyncio.gather(
            *(http.post("/v1/query", json=body, headers={"traceparent": TRACEPARENT}) for body in questions)
        )

    parents = {span.span_id: span.parent_span_id for span in receiver.spans}
    names = Counter(span.name for span in receiver.spans)
    roots = {span.span_id for span in receiver.spans if span.name == "POST /v1/query"}

    def root_of(span_id: bytes) -> bytes:
        return span_id if span_id in roots else root_of(parents[span_id])

    assert names["embed.embed_batch"] == 2
    assert {root_of(span.span_id) for span in receiver.spans if span.name == "embed.embed_batch"} == roots


async def test_without_an_endpoint_nothing_is_recorded(tmp_path: Path) -> None:
    answers: list[object] = []

    class Watched(RemoteHandle):
        async def call(self, method: str, *args: object) -> Any:  # type: ignore[override]
            answers.append(await super().call(method, *args))
            return answers[-1]

    async with serving(tmp_path, embedder=EmbedderClient(Watched(EmbedProbe(), {}), "embed")) as (_, http):
        await http.post("/v1/query", json=QUESTION, headers={"traceparent": TRACEPARENT})

    assert answers
    assert not [answer for answer in answers if isinstance(answer, Traced)]


async def test_a_collector_that_is_down_fails_no_request(tmp_path: Path, receiver: Receiver) -> None:
    receiver.close()
    async with traced(tmp_path, receiver, sample_rate=1) as http:
        response = await http.post("/v1/query", json=QUESTION)

    assert response.status_code == 200


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a URL"):
        TracingConfig(endpoint="collector:4318")
