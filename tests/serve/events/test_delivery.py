"""Events reach a real receiver on a real port: at least once, in order, signed, by one replica at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from models.corpus.corpus import Corpus
from serve.events.config import EventsConfig, WebhookConfig
from serve.events.delivery import EventDelivery
from serve.events.signature import read_secrets, sign
from serve.events.sinks import configured_sinks
from tests.inline import ingest, open_corpus
from tests.patience import PATIENCE_S
from tests.serve.events.receiver import Behaviour, Receiver, receiving

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
FAST = {"poll_s": 0.02, "retry_s": 0.01, "max_retry_s": 0.02}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = open_corpus(tmp_path)
    corpus.outbox.register(["webhook"])
    return corpus


def delivery(corpus: Corpus, url: str, **settings: Any) -> EventDelivery:
    config = EventsConfig(webhook=WebhookConfig(url=url, secret=SECRET), **FAST | settings)
    return EventDelivery(configured_sinks(config), corpus.outbox, config)


@asynccontextmanager
async def delivering(corpus: Corpus, url: str, num_replicas: int = 1, **settings: Any) -> AsyncIterator[None]:
    replicas = [delivery(corpus, url, **settings) for _ in range(num_replicas)]
    tasks = [asyncio.create_task(replica.run()) for replica in replicas]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def num_waiting(corpus: Corpus) -> int:
    return corpus.outbox.size("webhook").num_events


async def until(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110, the condition is in the database
            await asyncio.sleep(0.01)


def num_unreachable() -> float:
    labels = {"sink": "webhook", "outcome": "unreachable"}
    return REGISTRY.get_sample_value("ragserve_event_deliveries_total", labels) or 0.0


def types(receiver: Receiver) -> list[str]:
    return [request.event["type"] for request in receiver.accepted]


async def test_an_ingested_file_is_told_with_a_valid_signature(corpus: Corpus) -> None:
    file_id = await ingest(corpus, "Müller.md", b"# Title\n\nSome text.\n")

    async with receiving() as receiver, delivering(corpus, f"{receiver.url}/hooks?team=a"):
        await until(lambda: num_waiting(corpus) == 0)

    assert types(receiver) == ["document.created", "document.indexed"]
    for request in receiver.accepted:
        event_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        expected = sign(read_secrets(SECRET), event_id, int(timestamp), request.body)
        assert (request.headers["webhook-signature"], request.path) == (expected, "/hooks?team=a")
        assert request.event["timestamp"].endswith("Z")
        assert request.event["data"] == {
            "tenant": "default",
            "vector_store_id": "default",
            "file_id": file_id,
            "filename": "Müller.md",
            "version": 1,
        }


@pytest.mark.parametrize("behaviour", [500, 404, 410, 302, 307, "die", "hang"])
async def test_an_event_is_repeated_until_it_is_accepted(corpus: Corpus, behaviour: Behaviour) -> None:
    await ingest(corpus, "a.md", b"alpha")

    timeout_s = 0.2 if behaviour == "hang" else 10.0
    async with receiving(behaviour, behaviour) as receiver, delivering(corpus, receiver.url, timeout_s=timeout_s):
        await until(lambda: num_waiting(corpus) == 0)

    first = receiver.requests[0]
    told = {request.headers["webhook-id"]: request.event["type"] for request in receiver.accepted}
    assert list(told.values()) == ["document.created", "document.indexed"]
    assert [request.headers["webhook-id"] for request in receiver.requests].count(first.headers["webhook-id"]) >= 3
    assert {request.path for request in receiver.requests} == {"/"}  # no redirect was followed
    assert receiver.accepted[0].body == first.body


async def test_an_endless_answer_is_not_read(corpus: Corpus) -> None:
    await ingest(corpus, "a.md", b"alpha")

    async with receiving("flood") as receiver, delivering(corpus, receiver.url):
        await until(lambda: num_waiting(corpus) == 0)

    assert len(receiver.requests) == 2


async def test_a_receiver_that_is_down_gets_everything_later(corpus: Corpus) -> None:
    async with receiving() as gone:
        url = gone.url
    for number in range(3):
        await ingest(corpus, f"{number}.md", b"alpha")
    num_before = num_unreachable()
    async with delivering(corpus, url):
        await until(lambda: num_unreachable() >= num_before + 3)

    async with receiving() as receiver, delivering(corpus, receiver.url):
        await until(lambda: num_waiting(corpus) == 0)

    by_file: dict[str, list[str]] = {}
    for request in receiver.accepted:
        by_file.setdefault(request.event["data"]["file_id"], []).append(request.event["type"])
    assert list(by_file.values()) == [["document.created", "document.indexed"]] * 3


async def test_several_replicas_deliver_each_event_once(corpus: Corpus) -> None:
    for number in range(6):
        await ingest(corpus, f"{number}.md", b"alpha")

    async with receiving() as receiver, delivering(corpus, receiver.url, num_replicas=3):
        await until(lambda: num_waiting(corpus) == 0)

    ids = [request.headers["webhook-id"] for request in receiver.requests]
    assert (len(ids), len(set(ids))) == (12, 12)


async def test_a_failing_document_holds_up_no_other(corpus: Corpus) -> None:
    await ingest(corpus, "a.md", b"alpha")
    await ingest(corpus, "b.md", b"beta")

    async with receiving(*[500] * 3) as receiver, delivering(corpus, receiver.url, concurrency=1):
        await until(lambda: num_waiting(corpus) == 0)

    for name in ("a.md", "b.md"):
        told = [request.event for request in receiver.accepted if request.event["data"]["filename"] == name]
        assert [event["type"] for event in told] == ["document.created", "document.indexed"]
