"""Events reach librdkafka's own cluster of brokers, which speaks Kafka's protocol on real ports."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from prometheus_client import REGISTRY
from pydantic import SecretStr

from models.corpus.corpus import Corpus
from models.errors.configuration import ConfigError
from serve.events.config import EventsConfig, KafkaConfig, WebhookConfig
from serve.events.delivery import EventDelivery
from serve.events.kafka import KafkaSink, outcome_of
from serve.events.sinks import configured_sinks
from tests.inline import ingest, open_corpus
from tests.patience import PATIENCE_S
from tests.serve.events.test_delivery import SECRET, until

TOPIC = "documents"
FAST: dict[str, Any] = {"poll_s": 0.02, "retry_s": 0.01, "max_retry_s": 0.02}


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """Three brokers of librdkafka's mock cluster; topics make themselves."""
    cluster = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 3, "log_level": 0})
    metadata = cluster.list_topics(timeout=PATIENCE_S)
    yield ",".join(f"{broker.host}:{broker.port}" for broker in metadata.brokers.values())
    cluster.flush(0)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = open_corpus(tmp_path)
    corpus.outbox.register(["kafka"])
    return corpus


def config_of(servers: str, topic: str = TOPIC, **settings: Any) -> EventsConfig:
    return EventsConfig(kafka=KafkaConfig(bootstrap_servers=servers, topic=topic), **FAST | settings)


@asynccontextmanager
async def delivering(corpus: Corpus, config: EventsConfig, num_replicas: int = 1) -> AsyncIterator[None]:
    replicas = [EventDelivery(configured_sinks(config), corpus.outbox, config) for _ in range(num_replicas)]
    tasks = [asyncio.create_task(replica.run()) for replica in replicas]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def deliver_all(corpus: Corpus, config: EventsConfig, num_replicas: int = 1) -> None:
    async with delivering(corpus, config, num_replicas):
        await until(lambda: corpus.outbox.size("kafka").num_events == 0)


def messages_in(servers: str, topic: str) -> list[Message]:
    """Every message of a topic, each partition in order."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages, num_ended = list[Message](), 0
    while num_ended < len(partitions):
        message = consumer.poll(30)
        assert message is not None
        error = message.error()
        if error is None:
            messages.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            num_ended += 1
    consumer.close()
    return messages


def value_of(message: Message) -> dict[str, Any]:
    value = message.value()
    assert value is not None
    return json.loads(value)


async def test_events_arrive_in_order_with_one_key_a_store(corpus: Corpus, brokers: str) -> None:
    other = corpus.vector_stores.create("default", "manuals").vector_store_id
    for number in range(3):
        file_id = await ingest(corpus, f"Müller {number}.md", b"# Title\n\nSome text.\n")
        corpus.store_files.attach("default", other, file_id)
    corpus.files.delete("default", file_id)

    await deliver_all(corpus, config_of(brokers))

    messages = messages_in(brokers, TOPIC)
    by_key: dict[bytes | None, list[Message]] = {}
    for message in messages:
        by_key.setdefault(message.key(), []).append(message)
    assert by_key.keys() == {b'["default","default"]', f'["default","{other}"]'.encode()}
    default = [(value["type"], value["data"]["filename"]) for value in map(value_of, by_key[b'["default","default"]'])]
    assert default == [
        *((f"document.{kind}", f"Müller {number}.md") for number in range(3) for kind in ("created", "indexed")),
        ("document.deleted", "Müller 2.md"),
    ]
    assert all(len({message.partition() for message in messages}) == 1 for messages in by_key.values())
    headers = [dict(message.headers() or []) for message in messages]
    assert len({header["event-id"] for header in headers}) == len(messages)
    assert headers[0]["content-type"] == b"application/json"


def num_failed() -> float:
    outcomes = ("timeout", "unreachable", "refused")
    labels = ({"sink": "kafka", "outcome": outcome} for outcome in outcomes)
    return sum(REGISTRY.get_sample_value("ragserve_event_deliveries_total", label) or 0.0 for label in labels)


async def test_brokers_that_are_down_get_everything_later_in_order(corpus: Corpus, brokers: str) -> None:
    for number in range(3):
        await ingest(corpus, f"{number}.md", b"alpha")
    num_before = num_failed()
    async with delivering(corpus, config_of("127.0.0.1:1", "later", timeout_s=0.2)):
        await until(lambda: num_failed() >= num_before + 2)
    assert corpus.outbox.size("kafka").num_events == 6

    await deliver_all(corpus, config_of(brokers, "later"), num_replicas=2)

    told = [(value["type"], value["data"]["filename"]) for value in map(value_of, messages_in(brokers, "later"))]
    assert told == [(f"document.{kind}", f"{number}.md") for number in range(3) for kind in ("created", "indexed")]


async def test_both_sinks_get_events_of_their_own(corpus: Corpus, brokers: str) -> None:
    webhook = WebhookConfig(url="http://127.0.0.1:9/", secret=SECRET)
    config = config_of(brokers, "both").model_copy(update={"webhook": webhook})
    sinks = configured_sinks(config)
    corpus.outbox.register([sink.name for sink in sinks])
    await ingest(corpus, "a.md", b"alpha")

    await deliver_all(corpus, config_of(brokers, "both"))

    assert [sink.name for sink in sinks] == ["webhook", "kafka"]
    assert len(messages_in(brokers, "both")) == 2
    assert corpus.outbox.size("webhook").num_events == 2
    await asyncio.gather(*(sink.close() for sink in sinks))


def test_each_kind_of_failure_has_an_outcome() -> None:
    assert outcome_of(KafkaError._MSG_TIMED_OUT) == "timeout"
    assert outcome_of(KafkaError._ALL_BROKERS_DOWN) == "unreachable"
    assert outcome_of(KafkaError.TOPIC_AUTHORIZATION_FAILED) == "refused"


def test_a_user_without_a_password_is_refused_at_the_start() -> None:
    config = KafkaConfig(bootstrap_servers="b:9092", topic="t", security="sasl_tls", username="u")

    with pytest.raises(ConfigError, match="RAGSERVE_KAFKA_PASSWORD"):
        KafkaSink(config, 1.0)


def test_what_librdkafka_refuses_is_a_config_error(tmp_path: Path) -> None:
    config = KafkaConfig(bootstrap_servers="b:9092", topic="t", security="tls", ca_file=tmp_path / "missing.pem")

    with pytest.raises(ConfigError, match="librdkafka") as failure:
        KafkaSink(config, 1.0)

    assert failure.value.where == "events.kafka"


def test_the_password_is_not_shown() -> None:
    password = SecretStr("hunter2-hunter2")
    config = KafkaConfig(bootstrap_servers="b:1", topic="t", security="sasl_tls", username="u", password=password)

    assert "hunter2" not in f"{config!r} {config} {config.model_dump_json()}"
