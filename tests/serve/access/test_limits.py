"""Limits of tenants and keys: in process and on a real Redis, alone and over HTTP."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

import httpx
import pytest
import redis
from pydantic import SecretStr, ValidationError

from deployments.cluster.environment import free_port
from models.errors.limits import RateLimitedError
from models.errors.requests import InvalidRequestError, PayloadTooLargeError
from serve.access.caller import Caller
from serve.access.counters import SPEND_S, MemoryCounters, RedisCounters
from serve.access.limits import MINUTE_S, Counters, LimitsConfig, Quota, RequestLimits
from serve.cli.keys.run import limits_of
from serve.settings import Settings
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import Clock, error_of
from tests.serve.api.response_samples import serving

QUOTA = Quota("requests:key:a", 3, 3600.0)
SLOW_S = 10.0**7  # a unit comes back in days


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    if which("redis-server") is None:
        pytest.skip("no redis-server")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE_S
    with redis.Redis(port=port) as client:
        while time.monotonic() < end:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


@asynccontextmanager
async def counters_of(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    if kind == "memory":
        yield MemoryCounters()
        return
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    on_redis = RedisCounters(SecretStr(url), timeout_s=PATIENCE_S)
    yield on_redis
    await on_redis.close()


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_quota_has_its_units_and_no_more(kind: str, request: pytest.FixtureRequest) -> None:
    async with counters_of(kind, request) as counters:
        standings = [(await counters.take([(QUOTA, 1)]))[0] for _ in range(5)]
        other = (await counters.take([(Quota("requests:key:b", 3, 3600.0), 1)]))[0]

    assert [standing.remaining for standing in standings] == [2, 1, 0, 0, 0]
    assert [standing.retry_after_s > 0 for standing in standings] == [False, False, False, True, True]
    assert standings[3].retry_after_s == pytest.approx(1200, abs=PATIENCE_S)  # a third of the hour
    assert other.remaining == 2


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_used_units_count_beyond_the_limit(kind: str, request: pytest.FixtureRequest) -> None:
    async with counters_of(kind, request) as counters:
        before = (await counters.take([(QUOTA, 0)]))[0]
        counters.spend(QUOTA, 300)
        if isinstance(counters, RedisCounters):
            await counters.flush()
        after = (await counters.take([(QUOTA, 0)]))[0]

    assert (before.remaining, before.retry_after_s) == (3, 0)
    assert after.remaining == 0
    assert after.retry_after_s == pytest.approx(298 * 1200, abs=PATIENCE_S)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_what_was_used_before_and_after_a_limit_changed_counts(kind: str, request: pytest.FixtureRequest) -> None:
    before, after = (Quota("tokens:tenant:a", limit, SLOW_S) for limit in (10, 100))
    async with counters_of(kind, request) as counters:
        counters.spend(before, 4)  # 40 of the later 100
        counters.spend(after, 5)
        if isinstance(counters, RedisCounters):
            await counters.flush()
        (standing,) = await counters.take([(after, 0)])

    assert standing.remaining == 55


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_of_several_quotas_all_are_counted_or_none(kind: str, request: pytest.FixtureRequest) -> None:
    wide = Quota("requests:tenant:a", 9, 3600.0)
    async with counters_of(kind, request) as counters:
        standings = [await counters.take([(QUOTA, 2), (wide, 1)]) for _ in range(2)]
        after = await counters.take([(QUOTA, 1), (wide, 1)])

    assert [[each.remaining for each in pair] for pair in (*standings, after)] == [[1, 8], [0, 8], [0, 7]]
    assert [each.retry_after_s > 0 for each in standings[1]] == [True, False]


async def test_units_come_back_with_time() -> None:
    clock = Clock()
    counters = MemoryCounters(clock)
    for _ in range(3):
        await counters.take([(QUOTA, 1)])
    clock.ahead_s += 1201

    assert [((await counters.take([(QUOTA, 1)]))[0]).retry_after_s > 0 for _ in range(2)] == [False, True]


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_refusal_says_when_all_of_its_units_are_back(kind: str, request: pytest.FixtureRequest) -> None:
    quota = Quota("bytes", 1000, 86_400.0)
    async with counters_of(kind, request) as counters:
        await counters.take([(quota, 600)])
        (refused,) = await counters.take([(quota, 500)])
        (fitting,) = await counters.take([(quota, 300)])

    assert refused.retry_after_s == pytest.approx(8640, abs=PATIENCE_S)  # 100 of the 500 have no room
    assert fitting.retry_after_s == 0


async def test_a_clock_of_redis_that_went_back_keeps_no_quota_used_up(
    redis_url: str, request: pytest.FixtureRequest
) -> None:
    async with counters_of("redis", request) as counters:
        for _ in range(2):
            await counters.take([(QUOTA, 1)])
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            (key,) = client.keys()
            ahead = [float(text) + 86_400 for text in client.get(key).split()]  # as a clock wrote that was ahead
            client.set(key, " ".join(map(str, ahead)), keepttl=True)
        standings = [(await counters.take([(QUOTA, 1)]))[0] for _ in range(2)]

    assert [standing.retry_after_s > 0 for standing in standings] == [False, True]
    assert standings[1].retry_after_s == pytest.approx(1200, abs=PATIENCE_S)


async def test_two_processes_share_a_quota_on_redis(redis_url: str) -> None:
    one, two = (RedisCounters(SecretStr(redis_url), timeout_s=PATIENCE_S) for _ in range(2))
    shared = Quota("shared", 2, 3600.0)

    standings = [(await counters.take([(shared, 1)]))[0] for counters in (one, two, one, two)]
    await one.close()
    await two.close()

    assert [standing.retry_after_s > 0 for standing in standings] == [False, False, True, True]


async def test_what_was_used_goes_with_the_next_request_and_costs_no_message(
    redis_url: str, request: pytest.FixtureRequest
) -> None:
    quota = Quota("used", 300, SLOW_S)
    async with counters_of("redis", request) as counters:
        standings = await counters.take([(quota, 1)])
        with redis.Redis.from_url(redis_url) as client:
            client.config_resetstat()
            for _ in range(20):
                counters.spend(quota, 2)
                standings += await counters.take([(quota, 1)])
            num_messages = client.info("commandstats")["cmdstat_evalsha"]["calls"]

    assert num_messages == 20
    assert [standing.remaining for standing in standings] == [299 - 3 * number for number in range(21)]


async def test_what_was_used_counts_though_the_request_beside_it_is_refused(request: pytest.FixtureRequest) -> None:
    spent, full = Quota("spent", 10, SLOW_S), Quota("full", 1, SLOW_S)
    async with counters_of("redis", request) as counters:
        await counters.take([(full, 1)])
        counters.spend(spent, 4)
        refused = await counters.take([(spent, 1), (full, 1)])
        after = await counters.take([(spent, 0)])

    assert [standing.retry_after_s > 0 for standing in refused] == [False, True]
    assert after[0].remaining == 6


async def test_what_was_used_reaches_other_processes_without_a_request(request: pytest.FixtureRequest) -> None:
    quota = Quota("reaches", 10, SLOW_S)
    async with counters_of("redis", request) as one, counters_of("redis", request) as two:
        one.spend(quota, 4)
        for _ in range(round(PATIENCE_S / SPEND_S)):
            (seen,) = await two.take([(quota, 0)])
            if seen.remaining < 10:
                break
            await asyncio.sleep(SPEND_S)

    assert seen.remaining == 6


async def test_a_request_that_is_cancelled_loses_nothing_that_was_used(request: pytest.FixtureRequest) -> None:
    quota = Quota("cancelled", 10, SLOW_S)
    async with counters_of("redis", request) as counters:
        counters.spend(quota, 4)
        cancelled = asyncio.create_task(counters.take([(quota, 0)]))
        await asyncio.sleep(0)  # it has begun, and waits for its connection
        cancelled.cancel()
        await asyncio.wait([cancelled])
        (after,) = await counters.take([(quota, 0)])

    assert cancelled.cancelled()
    assert after.remaining == 6


@pytest.mark.parametrize("value", ["1e400", "nan", "garbage", "1e400 1", "nan nan", "1e5 x", ["a list"]])
async def test_a_counter_that_another_program_wrote_fails_no_request(redis_url: str, value: str | list[str]) -> None:
    counters = RedisCounters(SecretStr(redis_url), timeout_s=PATIENCE_S)
    quota = Quota(f"overwritten:{value}", 3, 3600.0)
    with redis.Redis.from_url(redis_url) as client:
        earlier = set(client.keys())
        await counters.take([(quota, 1)])
        (key,) = set(client.keys()) - earlier
        client.delete(key)
        client.rpush(key, *value) if isinstance(value, list) else client.set(key, value)

    standings = [(await counters.take([(quota, 1)]))[0] for _ in range(4)]
    await counters.close()

    assert [standing.retry_after_s > 0 for standing in standings] == [False, False, False, True]


async def test_limits_are_shared_from_the_moment_on_that_the_user_config_says_so(
    tmp_path: Path, redis_url: str
) -> None:
    limits, cache = {"each_tenant": {"requests_per_minute": 9}}, {"redis_url": redis_url, "redis_timeout_s": 10}
    is_counted_there = []
    async with serving(tmp_path) as service, service.http() as http:
        with redis.Redis.from_url(redis_url) as client:
            for is_shared in (True, False):
                service.live.configure({"limits": limits | {"shared": is_shared}, "cache": cache})
                client.flushall()
                response = await http.post("/v1/query", json={"query": "How hot is the oven?"})
                is_counted_there.append(bool(client.keys("ragserve:limit:*")))

    assert is_counted_there == [True, False]
    assert response.headers["x-ratelimit-limit-requests"] == "9"


async def test_without_redis_each_process_counts_alone() -> None:
    counters = RedisCounters(SecretStr(f"redis://127.0.0.1:{free_port()}/0"), timeout_s=PATIENCE_S)

    standings = [(await counters.take([(QUOTA, 1)]))[0] for _ in range(4)]
    is_open = [breaker.is_open for breaker in counters.breakers]
    await counters.close()

    assert [standing.retry_after_s > 0 for standing in standings] == [False, False, False, True]
    assert is_open == [True]


async def test_a_keys_own_limits_replace_those_of_each_key() -> None:
    config = LimitsConfig.model_validate(
        {"each_key": {"requests_per_minute": 1}, "tenants": {"acme": {"requests_per_minute": 4, "concurrency": 1}}}
    )
    limits = RequestLimits(lambda: config, MemoryCounters())
    plain, large = Caller("acme", actor="plain"), Caller("acme", actor="large", limits={"requests_per_minute": 9})

    await limits.count(plain)
    with pytest.raises(RateLimitedError, match="key plain has used its limit of 1 requests a minute"):
        await limits.count(plain)
    standings = [await limits.count(large) for _ in range(3)]
    with pytest.raises(RateLimitedError, match="tenant acme has used its limit of 4"):
        await limits.count(large)
    with (
        limits.holding(large),
        pytest.raises(RateLimitedError, match="tenant acme has used its limit of 1 requests at once"),
        limits.holding(plain),
    ):
        raise AssertionError("it was admitted")
    with limits.holding(plain):
        pass

    assert [standing.remaining for standing in standings if standing] == [2, 1, 0]  # the tenant's are fewer


async def test_a_client_reads_its_limit_and_when_to_come_again(tmp_path: Path) -> None:
    settings = Settings.model_validate({"limits": {"each_tenant": {"requests_per_minute": 2}}})
    async with serving(tmp_path, settings) as service, service.http() as http:
        responses = [await http.post("/v1/query", json={"query": "How hot is the oven?"}) for _ in range(3)]
        files = await http.get("/v1/files")

    headers = [
        {name: response.headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining")}
        for response in responses
    ]
    assert headers == [{"limit": "2", "remaining": remaining} for remaining in ("1", "0", "0")]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert error_of(responses[2]) == (429, "rate_limit_exceeded", None)
    assert 1 <= int(responses[2].headers["retry-after"]) <= MINUTE_S / 2
    assert responses[2].headers["x-ratelimit-reset-requests"].endswith("s")
    assert files.status_code == 200
    assert "x-ratelimit-limit-requests" not in files.headers


async def test_a_tenant_that_used_its_tokens_waits(tmp_path: Path) -> None:
    settings = Settings.model_validate({"limits": {"tenants": {"default": {"tokens_per_day": 5}}}})
    async with serving(tmp_path, settings) as service, service.http() as http:
        first: httpx.Response = await http.post("/v1/embeddings", json={"input": "one two three four five six seven"})
        second = await http.post("/v1/embeddings", json={"input": "one"})

    assert first.status_code == 200
    assert error_of(second) == (429, "rate_limit_exceeded", None)
    assert "5 tokens a day" in second.json()["error"]["message"]
    assert "x-ratelimit-limit-requests" not in second.headers


@pytest.mark.parametrize(
    "limits",
    [{"each_tenant": {"rpm": 1}}, {"each_key": {"concurrency": 0}}, {"tenant": {}}, {"each_key": {"stored_bytes": 1}}],
)
def test_a_misspelt_limit_is_refused(limits: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"limits": limits})


def upload(name: str, num_bytes: int = 10) -> dict[str, tuple[str, bytes]]:
    return {"file": (f"{name}.md", name[:1].encode() * num_bytes)}


async def test_files_and_bytes_of_a_day_are_limited(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"limits": {"each_tenant": {"upload_bytes_per_day": 100}, "each_key": {"uploads_per_day": 4}}}
    )
    async with serving(tmp_path, settings, is_new=False) as service, service.http() as http:
        first = await http.post("/v1/files", files=upload("a", 60))
        too_large = await http.post("/v1/files", files=upload("b", 101))
        too_many_bytes = await http.post("/v1/files", files=upload("c", 60))
        others = [await http.post("/v1/files", files=upload(name)) for name in "de"]
        replaced = await http.put(f"/v1/files/{first.json()['id']}/content", content=b"new bytes")
        too_many = await http.post("/v1/files", files=upload("f"))
        read = await http.get("/v1/files")

    assert [each.status_code for each in (first, *others, replaced, read)] == [200] * 5
    assert error_of(too_large) == (413, "payload_too_large", "file")
    assert error_of(too_many_bytes) == error_of(too_many) == (429, "rate_limit_exceeded", None)
    assert int(too_many_bytes.headers["retry-after"]) > 0
    assert "100 uploaded bytes a day" in too_many_bytes.json()["error"]["message"]
    assert "4 uploads a day" in too_many.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_key_has_uploads_and_bytes_of_its_own(kind: str, request: pytest.FixtureRequest) -> None:
    config = LimitsConfig.model_validate(
        {
            "each_key": {"uploads_per_day": 2, "upload_bytes_per_day": 100},
            "each_tenant": {"uploads_per_day": 5},
        }
    )
    first, second = Caller("acme", actor="first"), Caller("acme", actor="second")
    large = Caller("acme", actor="large", limits={"upload_bytes_per_day": 1000})
    async with counters_of(kind, request) as counters:
        limits = RequestLimits(lambda: config, counters)
        for caller in (first, first, second):
            await limits.count_upload(caller, 40)
        with pytest.raises(RateLimitedError, match="key first has used its limit of 2 uploads a day"):
            await limits.count_upload(first, 1)
        with pytest.raises(RateLimitedError, match="key second has used its limit of 100 uploaded bytes a day"):
            await limits.count_upload(second, 90)
        with pytest.raises(PayloadTooLargeError, match="the key second may have 100 uploaded bytes a day"):
            await limits.count_upload(second, 101)
        for _ in range(2):  # what was refused counts nowhere
            await limits.count_upload(large, 400)
        with pytest.raises(RateLimitedError, match="tenant acme has used its limit of 5 uploads a day"):
            await limits.count_upload(large, 1)


async def test_an_upload_of_a_tenant_that_used_its_bytes_is_refused_before_its_body(tmp_path: Path) -> None:
    settings = Settings.model_validate({"limits": {"each_tenant": {"upload_bytes_per_day": 60}}})

    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with serving(tmp_path, settings, is_new=False) as service, service.http() as http:
        await http.post("/v1/files", files=upload("a", 60))
        refused = await http.post("/v1/files", content=body(), headers={"content-type": "multipart/form-data"})

    assert refused.status_code == 429


async def test_requests_that_are_no_questions_have_limits_of_their_own(tmp_path: Path) -> None:
    settings = Settings.model_validate({"limits": {"each_tenant": {"other_requests_per_minute": 3}}})
    async with serving(tmp_path, settings) as service, service.http() as http:
        listed = [await http.get(path) for path in ("/v1/files", "/v1/vector_stores", "/v1/feedback")]
        made = await http.post("/v1/conversations", json={"metadata": {}})
        answered = await http.post("/v1/query", json={"query": "How hot is the oven?"})
        probed = await http.get("/healthz")

    assert [each.status_code for each in (*listed, answered, probed)] == [200] * 5
    assert [each.headers["x-ratelimit-remaining-requests"] for each in listed] == ["2", "1", "0"]
    assert error_of(made) == (429, "rate_limit_exceeded", None)
    assert "x-ratelimit-limit-requests" not in answered.headers


def test_other_requests_at_once_are_counted_apart_from_questions() -> None:
    config = LimitsConfig.model_validate({"each_key": {"concurrency": 1, "other_concurrency": 1}})
    limits, caller = RequestLimits(lambda: config, MemoryCounters()), Caller("acme", actor="key")

    with (
        limits.holding(caller),
        limits.holding_other(caller),
        pytest.raises(RateLimitedError, match="1 requests at once"),
        limits.holding_other(caller),
    ):
        raise AssertionError("it was admitted")


def test_a_key_is_made_with_limits_by_name() -> None:
    named = {"concurrency": 4, "requests_per_minute": None}

    assert limits_of(named, ["uploads_per_day=3"]) == {"concurrency": 4, "uploads_per_day": 3}
    for text in ("stored_bytes=3", "rpm=1", "uploads_per_day=0", "uploads_per_day", "uploads_per_day=x"):
        with pytest.raises(InvalidRequestError):
            limits_of(named, [text])
    with pytest.raises(InvalidRequestError, match=r"requests_per_minute .*less than or equal to 1000000"):
        limits_of({"requests_per_minute": 10**20}, [])


async def test_a_key_whose_limit_is_beyond_the_bounds_of_today_still_works() -> None:
    """An earlier release may have taken it: the caller cannot mend it."""
    caller = Caller("acme", actor="key", limits={"requests_per_minute": 10**20, "concurrency": 10**9})
    limits = RequestLimits(LimitsConfig, MemoryCounters())

    with limits.holding(caller):
        standing = await limits.count(caller)

    assert standing is not None
    assert standing.retry_after_s == 0
