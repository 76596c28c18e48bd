"""A body as it arrives: its size, its time, its depth, and nobody else's place while it comes."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from models.errors.limits import OverloadedError
from serve.access.caller import EVERYBODY, Caller
from serve.admission import Admission, AdmissionConfig
from serve.api.json_request import INLINE_BYTES, MAX_CONTAINERS, MAX_DEPTH, MAX_VALUES
from serve.api.services import TenantRoute
from serve.middleware import AdmissionLimit
from serve.request_body import ArrivingBody, BodyReader
from serve.settings import ApiConfig
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import Clock, Running, error_of, running

Message = MutableMapping[str, Any]
SCOPE = {"type": "http", "method": "POST", "path": "/v1/query", "headers": [], "state": {}}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, Clock()) as started:
        yield started


async def anyone(*_: Any) -> Caller:
    """Lets every caller in."""
    return EVERYBODY


class SlowClient:
    """Sends a part of a body, and the rest when the test says so."""

    def __init__(self, first: bytes = b'{"query": ') -> None:
        self.reading, self.may_end = asyncio.Event(), asyncio.Event()
        self._first = first

    async def receive(self) -> Message:
        if self._first:
            first, self._first = self._first, b""
            return {"type": "http.request", "body": first, "more_body": True}
        self.reading.set()
        await self.may_end.wait()
        return {"type": "http.request", "body": b'"x"}', "more_body": False}


async def test_who_sends_slowly_takes_no_place() -> None:
    bodies: list[bytes] = []

    async def answer(_: Any, receive: Any, __: Any) -> None:
        bodies.append((await receive())["body"])

    async def send(_: Message) -> None:
        raise AssertionError("nothing is refused")

    permits, slow = Admission(lambda: AdmissionConfig(max_questions=1)), SlowClient()
    limit = AdmissionLimit(answer, permits, anyone)
    sending = asyncio.create_task(limit(dict(SCOPE), slow.receive, send))
    async with asyncio.timeout(PATIENCE_S):
        await slow.reading.wait()

    taken = permits.num_under_way
    quick = SlowClient()
    quick.may_end.set()
    await limit(dict(SCOPE), quick.receive, send)
    slow.may_end.set()
    await sending

    assert taken == 0
    assert bodies == [b'{"query": "x"}'] * 2
    assert limit.bodies.num_arriving_bytes == 0


async def test_bodies_that_still_arrive_have_a_limit_of_memory() -> None:
    bodies, slow = BodyReader(max_bytes=20), SlowClient()
    reading = asyncio.create_task(bodies.read(slow.receive))
    async with asyncio.timeout(PATIENCE_S):
        await slow.reading.wait()

    with pytest.raises(OverloadedError):
        await bodies.read(SlowClient(b"x" * 11).receive)
    slow.may_end.set()
    await reading

    assert bodies.num_arriving_bytes == 0


@pytest.mark.parametrize(
    "request_of", [("POST", "/v1/query"), ("POST", "/v1/files"), ("PUT", "/v1/files/{id}/content")]
)
async def test_a_body_that_does_not_arrive_ends_with_a_408(service: Running, request_of: tuple[str, str]) -> None:
    service.replace(api=ApiConfig(body_s=0.05))
    async with service.http() as http:
        uploaded = (await http.post("/v1/files", files={"file": ("a.md", b"alpha")})).json()
        method, path = request_of

        async def never_ending() -> AsyncIterator[bytes]:
            yield b"--x\r\n"
            await asyncio.Event().wait()

        headers = {"content-type": "multipart/form-data; boundary=x"} if "files" in path else {}
        path = path.format(id=uploaded["id"])
        response = await http.request(method, path, content=never_ending(), headers=headers)

    assert error_of(response) == (408, "request_timeout", None)
    assert "5 bytes of the body arrived" in response.json()["error"]["message"]
    assert response.headers["connection"] == "close"


class LeavingClient:
    """Sends a part of a body, and goes."""

    def __init__(self, first: bytes) -> None:
        self._messages: list[Message] = [
            {"type": "http.disconnect"},
            {"type": "http.request", "body": first, "more_body": True},
        ]

    async def receive(self) -> Message:
        return self._messages.pop() if len(self._messages) > 1 else self._messages[0]


FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhalf'


@pytest.mark.parametrize(
    ("path", "content_type", "first"),
    [("/v1/files", "multipart/form-data; boundary=b", FORM), ("/v1/query", "application/json", b'{"query": ')],
)
async def test_a_client_that_leaves_in_its_body_is_no_bug(
    service: Running, path: str, content_type: str, first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"host", b"test")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    labels = {"method": "POST", "route": path, "status": "499"}
    before = REGISTRY.get_sample_value("ragserve_http_requests_total", labels) or 0

    async def send(_: Message) -> None:
        """Nobody reads it."""

    await service.app(scope | {"headers": headers, "http_version": "1.1"}, LeavingClient(first).receive, send)

    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert REGISTRY.get_sample_value("ragserve_http_requests_total", labels) == before + 1


async def test_a_large_body_has_more_time() -> None:
    slow = SlowClient(b"x" * 100 * 16 * 1024)
    body = ArrivingBody(slow.receive, 10 * 1024**2, body_s=0.001)
    await body.receive()
    waiting = asyncio.create_task(body.receive())
    async with asyncio.timeout(PATIENCE_S):
        await slow.reading.wait()
        await asyncio.sleep(0.01)  # ten times what a small body has
        slow.may_end.set()
        last = await waiting

    assert last["body"] == b'"x"}'


async def test_json_and_files_have_limits_of_their_own(service: Running) -> None:
    service.replace(api=ApiConfig(max_json_bytes=1024, max_upload_bytes=4096))
    async with service.http() as http:
        for length in ({}, {"transfer-encoding": "chunked"}):
            content = json.dumps({"query": "x" * 1024}).encode()
            response = await http.post("/v1/query", content=_parts(content) if length else content)
            assert error_of(response)[:2] == (413, "payload_too_large"), length
        uploaded = await http.post("/v1/files", files={"file": ("a.md", b"a" * 4096)})
        refused = await http.post("/v1/files", files={"file": ("a.md", b"a" * 4097)})

    assert uploaded.status_code == 200
    assert error_of(refused) == (413, "payload_too_large", "file")


async def _parts(content: bytes) -> AsyncIterator[bytes]:
    yield content[:1000]
    yield content[1000:]


def bodies_of(service: Running) -> list[TenantRoute]:
    """The routes that read JSON."""
    routes = [route for route in service.app.routes if isinstance(route, TenantRoute)]
    return [route for route in routes if route.body_field is not None and route.path != "/v1/files"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "half of a surrogate pair"),
        (b'{"a": "\xed\xa0\x80"}', "half of a surrogate pair"),
        (b'{"a": "%s\\ud800"}' % (b"x" * INLINE_BYTES), "half of a surrogate pair"),
        (b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", f"at most {MAX_DEPTH} levels"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" + b"{}," * MAX_CONTAINERS + b"1]", "too many objects and lists"),
        (b'{"a": [' + b"1," * (MAX_VALUES + 1) + b"1]}", "too many texts and numbers"),
        (b'{"a": [' + b'"",' * MAX_VALUES + b'""]}', "too many texts and numbers"),
        (b'{"a": 1, "a": 2}', "comes twice"),
        (b"{" + b",".join(b'"k%d": 1' % number for number in range(1001)) + b"}", "at most 1000"),
    ],
    ids=[
        "half",
        "half of a key",
        "half in bytes",
        "half far away",
        "deep",
        "deepest",
        "many",
        "numbers",
        "texts",
        "twice",
        "fields",
    ],
)
async def test_every_route_refuses_hostile_json(service: Running, content: bytes, reason: str) -> None:
    async with service.http() as http:
        for route in bodies_of(service):
            path = route.path
            for name in ("vector_store_id", "file_id", "batch_id", "conversation_id", "response_id"):
                path = path.replace(f"{{{name}}}", "default")
            response = await http.post(path, content=content)

            assert response.status_code == 422, (path, response.text)
            assert response.json()["error"]["code"] == "invalid_request", path
            assert reason in response.json()["error"]["message"], (path, response.text)


async def test_brackets_in_a_text_are_no_objects(service: Running) -> None:
    text = '\\" [{' * (MAX_CONTAINERS // 2 + 1)
    async with service.http() as http:
        response = await http.post("/v1/query", content=f'{{"query": "{text}"}}')

    assert "the query has" in response.json()["error"]["message"]


async def test_as_many_characters_as_a_request_may_have_fit_its_body_however_they_are_written(service: Running) -> None:
    limits = service.app.state.services.settings.api
    texts = ["中" * 2_000] * (limits.max_texts_chars // 2_000)
    ids = [[123_456] * 1_000] * (limits.max_texts_chars // 4 // 1_000)
    async with service.http() as http:
        ranked = await http.post("/v1/rerank", content=json.dumps({"query": "x", "documents": texts}))
        embedded = await http.post("/v1/embeddings", content=json.dumps({"input": ids, "tokenizer": "nobody"}))

    assert ranked.status_code == 200, ranked.text
    assert error_of(embedded)[2] == "tokenizer", embedded.text


def test_validation_stops_at_the_first_wrong_item_of_a_list(service: Running) -> None:
    routes: dict[str, Any] = {route.path: route for route in bodies_of(service)}
    wrong = {
        "/v1/chat/completions": {"messages": [{}, {}, {}]},
        "/v1/responses": {"input": [{"role": "user", "content": [{}, {}]}, {}]},
        "/v1/vector_stores/{vector_store_id}/file_batches": {"file_ids": [1, 2, 3]},
        "/v1/query": {"query": "x", "filters": {"type": "or", "filters": [{}, {}, {}]}},
    }
    for path, body in wrong.items():
        with pytest.raises(ValidationError) as few:
            routes[path].body_field._type_adapter.validator.validate_python(body)
        more = {name: value * 100 if isinstance(value, list) else value for name, value in body.items()}
        with pytest.raises(ValidationError) as many:
            routes[path].body_field._type_adapter.validator.validate_python(more)
        assert few.value.error_count() == many.value.error_count(), path


async def test_a_caller_without_a_key_is_refused_before_the_body(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"acme: [{'a' * 64}]\n")
    async with running(tmp_path, Clock(), keys) as service, service.http() as http:

        async def never_sent() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        response = await http.post("/v1/query", content=never_sent())

    assert isinstance(response, httpx.Response)
    assert error_of(response)[:2] == (401, "invalid_api_key")
