"""Events to a topic of Kafka: acknowledged by all in-sync replicas, keyed by vector store."""

import asyncio
import json
import logging
import threading
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from models.corpus.outbox import Event, EventOrder
from models.errors.configuration import ConfigError
from serve.events.body import body_of
from serve.events.config import KafkaConfig
from serve.events.sink import DeliveryError, Outcome

logger = logging.getLogger(__name__)

PROTOCOLS = {"plaintext": "plaintext", "tls": "ssl", "sasl_plaintext": "sasl_plaintext", "sasl_tls": "sasl_ssl"}
POLL_S = 0.1
# Below the time of a delivery: librdkafka gives the event up before we send it again.
MESSAGE_SHARE = 0.9
UNREACHABLE = frozenset([KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._SSL])
TIMEOUTS = frozenset([KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT])


class KafkaSink:
    """Sends each event to the configured topic. The key is tenant and store, so a partition has a store in order.

    The producer is idempotent: its own retries neither repeat nor reorder. A repeat after a crash of ours has the same
    header `event-id`.
    """

    name = "kafka"
    order: EventOrder = "store"

    def __init__(self, config: KafkaConfig, timeout_s: float) -> None:
        """Raises ConfigError without the password of a user, and for what librdkafka refuses."""
        self._topic = config.topic
        self._settings = _settings_of(config, timeout_s)
        self._producer: Producer | None = _open(self._settings)
        self._lock = threading.Lock()

    async def send(self, event: Event) -> None:
        """Return when all in-sync replicas have the event. Raises DeliveryError."""
        await asyncio.to_thread(self._send, event)

    def _send(self, event: Event) -> None:
        result = _Delivery()
        producer = self._opened()
        headers: Any = {"event-id": event.event_id, "event-type": event.type, "content-type": "application/json"}
        try:
            producer.produce(
                self._topic, value=body_of(event), key=key_of(event), headers=headers, on_delivery=result.settle
            )
            while not result.is_settled.is_set():
                producer.poll(POLL_S)
        except (BufferError, KafkaException) as error:
            self._forget(producer)
            raise DeliveryError("refused", f"the producer failed: {error}") from error
        if result.error is not None:
            if result.error.fatal():
                self._forget(producer)
            raise DeliveryError(outcome_of(result.error.code()), f"Kafka did not take the event: {result.error.str()}")

    def _opened(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = _open(self._settings)
            return self._producer

    def _forget(self, producer: Producer) -> None:
        """An idempotent producer that failed is of no use any more: the next event opens another one."""
        with self._lock:
            if self._producer is producer:
                self._producer = None

    async def close(self) -> None:
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(producer.flush, POLL_S)


class _Delivery:
    """The answer of the brokers to one event, set by whichever thread polls."""

    def __init__(self) -> None:
        self.is_settled = threading.Event()
        self.error: KafkaError | None = None

    def settle(self, error: KafkaError | None, _: object) -> None:
        self.error = error
        self.is_settled.set()


def key_of(event: Event) -> bytes:
    """The message's key: one for each vector store of a tenant."""
    return json.dumps([event.tenant, event.vector_store_id], separators=(",", ":")).encode()


def outcome_of(code: int) -> Outcome:
    if code in TIMEOUTS:
        return "timeout"
    return "unreachable" if code in UNREACHABLE else "refused"


def _settings_of(config: KafkaConfig, timeout_s: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap.servers": config.bootstrap_servers,
        "client.id": "ragserve",
        "security.protocol": PROTOCOLS[config.security],
        "acks": "all",
        "enable.idempotence": True,
        "message.timeout.ms": max(100, int(timeout_s * 1000 * MESSAGE_SHARE)),
        "linger.ms": 0,  # few events are under way at once: nothing to wait for
    }
    if config.ca_file is not None:
        settings["ssl.ca.location"] = str(config.ca_file)
    if config.has_user:
        if config.password is None:
            raise ConfigError("events.kafka", "needs a password; set the environment variable RAGSERVE_KAFKA_PASSWORD")
        settings["sasl.mechanism"] = config.sasl_mechanism
        settings["sasl.username"], settings["sasl.password"] = config.username, config.password.get_secret_value()
    return settings


def _open(settings: dict[str, Any]) -> Producer:
    try:
        return Producer({**settings, "error_cb": _log_error}, logger=logger)
    except KafkaException as error:
        raise ConfigError("events.kafka", f"is refused by librdkafka: {error}") from None


def _log_error(error: KafkaError) -> None:
    logger.warning("Kafka: %s", error.str())
