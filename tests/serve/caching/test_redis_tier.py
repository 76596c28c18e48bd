"""A real Redis behind the memory: down, slow, full or with broken entries it means a miss, and never an error."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import SecretStr

from serve.caching.redis_tier import NAMESPACE, RedisTier
from tests.patience import PATIENCE_S
from tests.serve.caching.cache_samples import RedisServer

KEY, NAME = "abc", f"{NAMESPACE}:answers:abc"
TTL_S = 60.0
T = TypeVar("T")


def tier_of(server: RedisServer, timeout_s: float = 5.0) -> RedisTier:
    """A busy machine is no fault here, so the time is long; a test of lateness gives its own."""
    return RedisTier(SecretStr(server.url), timeout_s)


async def stored(tier: RedisTier, payload: bytes = b"payload", key: str = KEY) -> None:
    tier.put("answers", key, payload, TTL_S)
    await tier.flush()


async def test_another_process_reads_what_is_stored(server: RedisServer) -> None:
    writer, reader = tier_of(server), tier_of(server)

    await stored(writer, b"\x00\xffpayload")

    assert await reader.get("answers", KEY) == b"\x00\xffpayload"
    assert await reader.get("retrieval", KEY) is None
    assert await reader.get("answers", "other") is None
    await asyncio.gather(writer.close(), reader.close())


async def test_an_entry_has_a_time_to_live(server: RedisServer) -> None:
    tier = tier_of(server)
    await stored(tier)

    with server.client() as client:
        remaining_ms = client.pttl(NAME)

    assert 0 < remaining_ms <= TTL_S * 1000
    await tier.close()


@pytest.mark.parametrize("garbage", [b"", b"short", b"x" * 100])
async def test_a_broken_entry_is_a_miss(server: RedisServer, garbage: bytes) -> None:
    tier = tier_of(server)
    with server.client() as client:
        client.set(NAME, garbage)

    assert await tier.get("answers", KEY) is None
    await tier.close()


async def test_a_torn_and_a_moved_entry_are_misses(server: RedisServer) -> None:
    tier = tier_of(server)
    await stored(tier)
    with server.client() as client:
        entry = client.get(NAME)
        client.set(NAME, entry[:-1])
        client.set(f"{NAMESPACE}:answers:other", entry)

    assert [await tier.get("answers", key) for key in (KEY, "other")] == [None, None]
    await tier.close()


async def test_an_entry_of_another_type_is_a_miss(server: RedisServer) -> None:
    tier = tier_of(server)
    with server.client() as client:
        client.rpush(NAME, b"a", b"b")

    assert await tier.get("answers", KEY) is None
    await tier.close()


async def test_a_dead_server_is_a_miss_and_is_left_alone(server: RedisServer) -> None:
    tier = tier_of(server)
    await stored(tier)
    server.kill()

    results = [await tier.get("answers", KEY) for _ in range(4)]
    tier.put("answers", KEY, b"payload", TTL_S)

    assert results == [None] * 4
    assert not tier._writes
    await tier.close()


async def until_answered(tier: RedisTier) -> None:
    """Wait until the breaker is closed. A question asks for the probe, which is sent beside it."""
    async with asyncio.timeout(PATIENCE_S):
        while tier.breaker.is_open:
            await tier.get("answers", KEY)
            await asyncio.sleep(0.05)


async def test_a_stopped_server_costs_one_call_its_time_and_is_used_again_when_it_goes_on(server: RedisServer) -> None:
    tier, before = tier_of(server, timeout_s=0.2), open_breakers()
    server.process.send_signal(signal.SIGSTOP)
    while not tier.breaker.is_open:  # a call is no failure if this process had no core for long
        assert await tier.get("answers", KEY) is None
    assert open_breakers() == before + 1

    assert [at_once(tier.get("answers", KEY)) for _ in range(100)] == [None] * 100
    server.process.send_signal(signal.SIGCONT)

    await until_answered(tier)
    assert open_breakers() == before
    await tier.close()


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing; fails for any other."""
    with pytest.raises(StopIteration) as ended:
        call.send(None)
    result: T = ended.value.value
    return result


def open_breakers() -> float:
    return REGISTRY.get_sample_value("ragserve_open_breakers", {"stage": "redis"}) or 0.0


async def test_a_server_that_comes_back_is_used_again(server: RedisServer) -> None:
    tier = tier_of(server)
    await stored(tier)
    server.kill()
    assert await tier.get("answers", KEY) is None
    server.start_again()

    await until_answered(tier)
    await stored(tier, b"new")

    assert await tier.get("answers", KEY) == b"new"
    await tier.close()


async def test_a_stopped_server_is_a_miss(server: RedisServer) -> None:
    tier = tier_of(server, timeout_s=0.05)
    with server.client() as client:
        client.client_pause(5_000)

    assert await tier.get("answers", KEY) is None
    await stored(tier)
    await tier.close()


async def test_a_full_server_still_answers_reads(server: RedisServer) -> None:
    tier = tier_of(server)
    await stored(tier)
    with server.client() as client:
        client.config_set("maxmemory", 1)

    for number in range(4):
        await stored(tier, key=f"new-{number}")

    assert await tier.get("answers", "new-0") is None
    assert await tier.get("answers", KEY) == b"payload"
    await tier.close()


async def test_a_password_is_in_no_message(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    with server.client() as client:
        client.config_set("requirepass", "right-secret")
    tier = RedisTier(SecretStr(server.url.replace("//", "//:wrong-secret@")), 5.0)

    with caplog.at_level(logging.DEBUG):
        assert await tier.get("answers", KEY) is None

    assert caplog.messages
    assert "secret" not in caplog.text
    await tier.close()


async def test_the_right_password_is_sent(server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("requirepass", "right-secret")
    tier = RedisTier(SecretStr(server.url.replace("//", "//:right-secret@")), 5.0)

    await stored(tier)

    assert await tier.get("answers", KEY) == b"payload"
    await tier.close()


def test_the_server_of_the_tests_is_a_real_one(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as client:
        assert client.info("server")["process_id"] == server.process.pid
