"""The sinks that the settings name."""

from models.errors.configuration import ConfigError
from serve.events.config import EventsConfig, KafkaConfig
from serve.events.sink import EventSink
from serve.events.webhook import WebhookSink


def configured_sinks(config: EventsConfig) -> tuple[EventSink, ...]:
    """Every configured sink; none by default. Raises ConfigError for a missing secret, or a missing package."""
    sinks = list[EventSink]()
    if config.webhook is not None:
        sinks.append(WebhookSink(config.webhook, config.timeout_s))
    if config.kafka is not None:
        sinks.append(_kafka_sink(config.kafka, config.timeout_s))
    return tuple(sinks)


def _kafka_sink(config: KafkaConfig, timeout_s: float) -> EventSink:
    try:
        from serve.events.kafka import KafkaSink
    except ImportError as error:
        message = f"needs the package confluent-kafka; install it with `make up EXTRAS=kafka` ({error})"
        raise ConfigError("events.kafka", message) from None
    return KafkaSink(config, timeout_s)
