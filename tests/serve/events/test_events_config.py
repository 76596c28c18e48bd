import pytest
from pydantic import ValidationError

from serve.events.config import EventsConfig, KafkaConfig, WebhookConfig
from serve.settings import KAFKA_PASSWORD, WEBHOOK_SECRET, Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_events_are_off_by_default() -> None:
    assert Settings().events.webhook is None


def test_the_secret_comes_from_the_environment_and_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEBHOOK_SECRET, SECRET)

    settings = Settings.model_validate({"events": {"webhook": {"url": "https://example.org/hooks"}}})

    webhook = settings.events.webhook
    assert webhook is not None
    assert webhook.secret is not None
    assert webhook.secret.get_secret_value() == SECRET
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize("url", ["https://example.org/hooks?team=a", "http://127.0.0.1:9000", "http://[::1]:9000/x"])
def test_an_address_is_accepted(url: str) -> None:
    assert WebhookConfig(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "gopher://example.org:70/_x",
        "https://",
        "https://user:password@example.org",
        "https://example.org/#part",
        "https://example.org:99999",
        "https://example.org/a b",
        "https://example.org/\r\nhost: x",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookConfig(url=url)


@pytest.mark.parametrize("values", [{"lease_s": 5}, {"timeout_s": 31}, {"max_events": 0}, {"kafka": {}}])
def test_settings_are_bounded_and_known(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EventsConfig.model_validate(values)


def test_kafkas_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KAFKA_PASSWORD, "hunter2")
    kafka = {"bootstrap_servers": "b:9092", "topic": "t", "security": "sasl_tls", "username": "u"}

    settings = Settings.model_validate({"events": {"kafka": kafka}})

    assert settings.events.kafka is not None
    assert settings.events.kafka.password is not None
    assert settings.events.kafka.password.get_secret_value() == "hunter2"


@pytest.mark.parametrize("servers", ["broker:9092", "broker-1.local:9092, 10.0.0.2:9093", "[::1]:9092"])
def test_kafkas_servers_are_addresses(servers: str) -> None:
    assert KafkaConfig(bootstrap_servers=servers, topic="documents").bootstrap_servers == servers


@pytest.mark.parametrize(
    "values",
    [
        {"bootstrap_servers": ""},
        {"bootstrap_servers": "broker"},
        {"bootstrap_servers": "broker:0"},
        {"bootstrap_servers": "broker:99999"},
        {"bootstrap_servers": "broker:9092,,"},
        {"bootstrap_servers": "user:secret@broker:9092"},
        {"topic": "no spaces"},
        {"topic": ""},
        {"username": "u"},
        {"security": "sasl_tls"},
        {"security": "none"},
        {"acks": 0},
    ],
)
def test_wrong_settings_of_kafka_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        KafkaConfig.model_validate({"bootstrap_servers": "b:9092", "topic": "t"} | values)
