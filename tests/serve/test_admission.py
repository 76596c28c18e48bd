"""The limit of one ingress replica: refusals, and the room after an answer has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from prometheus_client import REGISTRY
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.cluster.request_ids import OneRequestId
from models.errors.limits import OverloadedError
from serve.access.caller import Caller
from serve.admission import Admission, AdmissionConfig
from serve.middleware import LIMITED, AdmissionLimit, RequestLog
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import Clock, application

# What has no limit though it is sent with a body: it writes to the database or to the disk, and asks no stage.
UNLIMITED = {
    "/v1/files",
    "/v1/files/{file_id}/content",
    "/v1/files/{file_id}/versions/{version}/restore",
    "/v1/dead_letters/replay",
    "/v1/feedback",
    "/v1/conversations",
    "/v1/conversations/{conversation_id}",
    "/v1/conversations/{conversation_id}/items",
    "/v1/responses/{response_id}/cancel",
    "/v1/vector_stores",
    "/v1/vector_stores/{vector_store_id}",
    "/v1/vector_stores/{vector_store_id}/files",
    "/v1/vector_stores/{vector_store_id}/files/{file_id}",
    "/v1/vector_stores/{vector_store_id}/delete_by_filter",
    "/v1/vector_stores/{vector_store_id}/update_by_filter",
    "/v1/vector_stores/{vector_store_id}/file_batches",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
}


class Gate:
    """An application whose answers begin at once, and end when the test says so."""

    def __init__(self) -> None:
        self.num_begun = 0
        self.changed = asyncio.Condition()
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await Response("well")(scope, receive, send)
            return
        async with self.changed:
            self.num_begun += 1
            self.changed.notify_all()
        await StreamingResponse(self._parts())(scope, receive, send)

    async def _parts(self) -> AsyncIterator[bytes]:
        yield b"first"
        await self.may_end.wait()
        yield b"last"

    async def until_begun(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: self.num_begun >= number)


async def anyone(scope: Scope, operation: str) -> Caller:
    """Lets every caller in, as the tenant that a header names."""
    return Caller(Headers(scope=scope).get("tenant", "default"))


@asynccontextmanager
async def limited(gate: Gate, max_questions: int) -> AsyncIterator[tuple[httpx.AsyncClient, Admission]]:
    permits = Admission(lambda: AdmissionConfig(max_questions=max_questions))
    transport = httpx.ASGITransport(app=OneRequestId(RequestLog(AdmissionLimit(gate, permits, anyone))))
    async with httpx.AsyncClient(transport=transport, base_url="http://ragserve") as http:
        yield http, permits


async def test_past_the_limit_a_question_is_refused_until_another_has_ended() -> None:
    gate = Gate()
    async with limited(gate, max_questions=2) as (http, permits):
        under_way = [asyncio.create_task(http.post("/v1/query")) for _ in range(2)]
        await gate.until_begun(2)

        refused = await http.post("/v1/chat/completions")
        gate.may_end.set()
        answered = await asyncio.gather(*under_way)
        after = await http.post("/v1/chat/completions")

    assert refused.status_code == 429
    assert refused.json()["error"] | {"message": ""} == {
        "message": "",
        "type": "rate_limit_error",
        "param": None,
        "code": "overloaded",
    }
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-request-id"].startswith("req_")
    assert [response.status_code for response in answered] == [200, 200]
    assert after.status_code == 200
    assert (gate.num_begun, permits.num_under_way) == (3, 0)


async def test_probes_and_files_have_no_limit() -> None:
    gate = Gate()
    async with limited(gate, max_questions=1) as (http, _):
        under_way = asyncio.create_task(http.post("/v1/vector_stores/default/search"))
        await gate.until_begun(1)

        refused = await http.post("/v1/embeddings")
        ready = await http.get("/readyz")
        uploading = asyncio.create_task(http.post("/v1/files"))
        await gate.until_begun(2)
        gate.may_end.set()
        await asyncio.gather(under_way, uploading)

    assert (refused.status_code, ready.status_code) == (429, 200)


async def test_a_caller_who_disconnects_frees_the_place() -> None:
    gate = Gate()
    async with limited(gate, max_questions=1) as (http, permits):
        gone = asyncio.create_task(http.post("/v1/query"))
        await gate.until_begun(1)

        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)

        assert permits.num_under_way == 0


async def test_a_refusal_is_counted_under_its_route() -> None:
    gate, labels = Gate(), {"method": "POST", "route": "/v1/vector_stores/{vector_store_id}/search", "status": "429"}
    before = REGISTRY.get_sample_value("ragserve_http_requests_total", labels) or 0.0
    async with limited(gate, max_questions=1) as (http, _):
        under_way = asyncio.create_task(http.post("/v1/query"))
        await gate.until_begun(1)

        await http.post("/v1/vector_stores/default/search")
        gate.may_end.set()
        await under_way

    assert REGISTRY.get_sample_value("ragserve_http_requests_total", labels) == before + 1


async def test_a_refusal_says_when_the_questions_under_way_will_have_ended() -> None:
    now = [0.0]
    permits = Admission(lambda: AdmissionConfig(max_questions=1), clock=lambda: now[0])
    for _ in range(400):
        async with permits.admit():
            now[0] += 2.5

    async with permits.admit():
        with pytest.raises(OverloadedError) as refused:
            async with permits.admit():
                raise AssertionError("it was admitted")

    assert refused.value.retry_after_s == 3.0
    assert permits.num_under_way == 0


def test_every_route_that_calls_a_stage_has_the_limit(tmp_path: Path) -> None:
    app = application(tmp_path, Clock()).app

    posted = {path for path, methods in _routes(app) if methods & {"POST", "PUT"}}

    assert posted == set(LIMITED) | UNLIMITED


def _routes(app: object) -> list[tuple[str, set[str]]]:
    return [(route.path, route.methods) for route in app.routes if isinstance(route, APIRoute)]


async def test_a_tenant_below_its_share_gets_the_next_place_that_is_free() -> None:
    """Two places. The first tenant has both, and asks for more; the second waits for one, and gets it."""
    permits = Admission(lambda: AdmissionConfig(max_questions=2))
    async with AsyncExitStack() as greedy:
        await greedy.enter_async_context(permits.admit("greedy"))
        first = permits.admit("greedy")
        await first.__aenter__()
        with pytest.raises(OverloadedError):
            permits.check("greedy")

        async def ask(tenant: str) -> str:
            async with permits.admit(tenant):
                return tenant

        modest = asyncio.create_task(ask("modest"))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):  # the modest one waits before it
            await ask("greedy")
        assert not modest.done()
        await first.__aexit__(None, None, None)

        assert await modest == "modest"
        assert permits.num_under_way == 1
        async with permits.admit("greedy"):
            assert permits.num_under_way == 2
    assert permits.num_under_way == 0


async def test_who_waits_too_long_or_leaves_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.admission.MAX_WAIT_S", 0.01)
    permits = Admission(lambda: AdmissionConfig(max_questions=2))
    async with permits.admit("greedy"), permits.admit("greedy"):
        with pytest.raises(OverloadedError):
            async with permits.admit("modest"):
                raise AssertionError("it was admitted")
        leaving = asyncio.create_task(permits.admit("modest").__aenter__())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

    assert permits.num_under_way == 0
    async with permits.admit("greedy"), permits.admit("modest"):
        assert permits.num_under_way == 2


async def test_a_place_that_comes_as_its_owner_leaves_is_passed_on() -> None:
    permits = Admission(lambda: AdmissionConfig(max_questions=2))
    async with permits.admit("greedy"):
        held = permits.admit("greedy")
        await held.__aenter__()
        leaving = asyncio.create_task(permits.admit("modest").__aenter__())
        await asyncio.sleep(0)

        await held.__aexit__(None, None, None)  # the place is the modest one's now
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

        assert permits.num_under_way == 1


async def test_refusals_without_a_pause_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.admission.REFUSAL_S", PATIENCE_S)
    seconds = [1000.0]
    admission = Admission(lambda: AdmissionConfig(max_questions=2), lambda: seconds[0])

    async with asyncio.timeout(PATIENCE_S):
        for tenant in ("loud", "loud", "quiet"):
            await admission.hold_back(tenant)
    held_back = asyncio.ensure_future(admission.hold_back("loud"))
    await asyncio.wait({held_back}, timeout=0.05)
    assert not held_back.done()

    seconds[0] += 1
    async with asyncio.timeout(PATIENCE_S / 2):
        await admission.hold_back("loud")
    held_back.cancel()
