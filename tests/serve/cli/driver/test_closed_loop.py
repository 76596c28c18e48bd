"""The closed loop's load driver: what is sent, what counts, what is an error."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from serve.cli.driver.closed_loop import Load, drive, percentile, run
from serve.cli.driver.constant_server import ConstantAnswers


@asynccontextmanager
async def serving(protocol: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    """The port of a server in this process."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def answering(head: str, body: bytes) -> Callable[[], asyncio.Protocol]:
    return lambda: ConstantAnswers(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


class TestLoad:
    async def test_without_repeats_every_body_is_sent_once(self) -> None:
        async with serving(answering("200 OK\r\ncontent-length: 2", b"{}")) as port:
            load = Load("127.0.0.1", port, "/", "", clients=3, seconds=30, items=5, repeats=False)
            result = await run(load, [b"{}"] * 10)

        assert (result.requests, result.errors) == (10, 0)
        assert result.per_s > 0
        assert 0 < result.p50_s <= result.p95_s <= result.p99_s

    async def test_bodies_repeat_until_the_turn_ends(self) -> None:
        async with serving(answering("200 OK\r\ncontent-length: 2", b"{}")) as port:
            result = await run(Load("127.0.0.1", port, "/", "", clients=2, seconds=0.2), [b"{}"])

        assert result.requests > 1
        assert result.errors == 0

    async def test_a_refusal_is_an_error_with_its_message(self) -> None:
        async with serving(answering("429 Too Many Requests\r\ncontent-length: 4", b"full")) as port:
            load = Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False)
            result = await run(load, [b"{}"] * 3)

        assert (result.requests, result.errors, result.per_s) == (0, 3, 0)
        assert result.messages == ("HTTP 429: full",)

    async def test_a_refused_connection_is_an_error(self) -> None:
        async with serving(ConstantAnswers.__new__) as port:
            pass
        result = await run(Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False), [b"{}"] * 2)

        assert (result.requests, result.errors) == (0, 2)

    async def test_an_answer_s_stage_times_and_missing_stages_are_read(self) -> None:
        body = json.dumps({"timings": {"embed": 0.25, "total": 0.5}, "degraded": ["rerank"]}).encode()
        async with serving(answering(f"200 OK\r\ncontent-length: {len(body)}", body)) as port:
            load = Load("127.0.0.1", port, "/", "", clients=2, seconds=30, repeats=False, reads_answers=True)
            result = await run(load, [b"{}"] * 3)

        assert (result.requests, result.degraded) == (3, 3)
        assert result.timings == ({"embed": 0.25, "total": 0.5},) * 3

    async def test_a_stream_counts_the_tokens_of_its_usage(self) -> None:
        events = [
            {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"content": "duck"}}]},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 7}},
        ]
        whole = b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\r\n\r\n"
        body = chunked(whole[:20], whole[20:95], whole[95:])
        async with serving(answering("200 OK\r\ntransfer-encoding: chunked", body)) as port:
            load = Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False, stream=True)
            result = await run(load, [b"{}"] * 4)

        assert (result.requests, result.errors) == (4, 0)
        assert 0 < result.first_s <= result.p99_s

    async def test_a_stream_that_breaks_off_is_an_error(self) -> None:
        body = chunked(b'data: {"choices": [{"delta": {"content": "duck"}}]}\n\n')
        async with serving(answering("200 OK\r\ntransfer-encoding: chunked", body)) as port:
            load = Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False, stream=True)
            result = await run(load, [b"{}"])

        assert (result.requests, result.errors) == (0, 1)
        assert "[DONE]" in result.messages[0]

    def test_percentiles_are_by_nearest_rank(self) -> None:
        assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
        assert percentile([1.0], 0.99) == 1.0
        assert percentile([], 0.5) == 0.0

    async def test_with_a_warm_up_only_what_ends_after_it_counts(self) -> None:
        async with serving(answering("200 OK\r\ncontent-length: 2", b"{}")) as port:
            load = Load("127.0.0.1", port, "/", "", clients=1, seconds=0.2, repeats=False, warm_s=30.0)
            result = await run(load, [b"{}"] * 5)

        # All five were answered during the warm-up.
        assert (result.requests, result.errors, result.per_s) == (0, 0, 0)

    def test_a_failed_driver_reports_its_error(self) -> None:
        with pytest.raises(RuntimeError, match="No such file"):
            drive(Load("127.0.0.1", 1, "/", "/absent", 1, 0.1))
