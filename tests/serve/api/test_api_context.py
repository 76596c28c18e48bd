"""Who asks, and in which trace, reaches the stages as it came over HTTP."""

from collections.abc import Sequence

import httpx
import pytest

from models.tokens.encoding import TextInput
from models.types.request_context import NORMAL_PRIORITY, RequestContext
from models.types.scope import DEFAULT_TENANT
from models.types.stage_results import Embeddings
from tests.contexts import TRACEPARENT
from tests.inline import InlineEmbedder
from tests.serve.api.api_samples import Running


class RecordingEmbedder(InlineEmbedder):
    """Remembers the contexts that it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: list[RequestContext] = []

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, context: RequestContext
    ) -> Embeddings:
        self.contexts.append(context)
        return await super().embed_inputs(inputs, as_queries, dimensions, context)


async def context_of(service: Running, http: httpx.AsyncClient, headers: dict[str, str]) -> RequestContext:
    """What the embedder is called with when a request has these headers."""
    embedder = RecordingEmbedder()
    service.replace(embedder=embedder)
    response = await http.post("/v1/embeddings", json={"input": "a"}, headers=headers)
    assert response.status_code == 200
    assert response.headers["x-request-id"] == embedder.contexts[0].request_id
    return embedder.contexts[0]


async def test_a_stage_knows_the_request_its_tenant_and_its_trace(service: Running, http: httpx.AsyncClient) -> None:
    context = await context_of(service, http, {"x-request-id": "req-7", "traceparent": TRACEPARENT})

    assert (context.request_id, context.tenant, context.priority) == ("req-7", DEFAULT_TENANT, NORMAL_PRIORITY)
    assert context.trace_context == TRACEPARENT[:-2] + "00"  # nothing is recorded
    assert 0 < context.remaining_s() <= service.app.state.services.settings.api.embed_s


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "ff" + TRACEPARENT[2:],
        TRACEPARENT.upper(),
        TRACEPARENT + "-x",
        "00-" + "0" * 32 + TRACEPARENT[35:],
        "a" * 9000,
    ],
    ids=["absent", "invalid-version", "upper-case", "too-long", "no-trace-id", "garbage"],
)
async def test_an_invalid_traceparent_is_not_passed_on(
    service: Running, http: httpx.AsyncClient, traceparent: str
) -> None:
    context = await context_of(service, http, {"traceparent": traceparent})

    assert context.trace_context == ""


@pytest.mark.parametrize(
    ("cache_control", "use_caches"),
    [("no-store", False), ("max-age=0, No-Cache", False), ("max-age=60", True), ("", True)],
)
async def test_a_caller_can_refuse_answers_from_caches(
    service: Running, http: httpx.AsyncClient, cache_control: str, use_caches: bool
) -> None:
    context = await context_of(service, http, {"cache-control": cache_control})

    assert context.use_caches is use_caches
