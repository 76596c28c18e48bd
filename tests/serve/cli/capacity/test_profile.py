"""The profile file, and how chunks, tokens and messages change a stage's times."""

from pathlib import Path

import pytest

import serve.cli.capacity
from models.errors.configuration import ConfigError
from serve.cli.capacity.hardware import Hardware
from serve.cli.capacity.profile import BatchTimes, GenerationTimes, Growth, IngressTimes, Profile
from tests.serve.cli.capacity.profiles import profile

SHIPPED = Path(serve.cli.capacity.__file__).with_name("profiles")


def test_a_written_profile_can_be_read(tmp_path: Path) -> None:
    profile().write(tmp_path / "profile.yaml")

    assert Profile.read(tmp_path / "profile.yaml") == profile()


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hardware.yaml"
    path.write_text("classes: {big: {cpus: 4, memory_gb: 8, price: 1}}")

    with pytest.raises(ConfigError, match="price"):
        Hardware.read(path)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*hardware.yaml")), ids=lambda path: path.name)
def test_shipped_hardware_is_valid(path: Path) -> None:
    assert Hardware.read(path).classes


@pytest.mark.parametrize(
    "path", sorted(set(SHIPPED.glob("*.yaml")) - set(SHIPPED.glob("*hardware.yaml"))), ids=lambda path: path.name
)
def test_shipped_profiles_are_valid(path: Path) -> None:
    assert Profile.read(path).note


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [("linear", 0.4), ("sqrt", 0.04 * 10**0.5), ("log", 0.04 * 1.25)],
)
def test_search_times_grow_as_the_index_does(kind: str, seconds: float) -> None:
    growth = Growth.model_validate({"kind": kind, "at_chunks": 10_000, "per_item_s": 0.04})

    assert growth.seconds(10_000) == pytest.approx(0.04)
    assert growth.seconds(100_000) == pytest.approx(seconds)


def test_chunks_add_time_and_memory() -> None:
    growth = Growth(kind="linear", at_chunks=1_000, per_item_s=0.002)
    times = BatchTimes(per_item_s=0.001, memory_gb=0.5, growth=growth, bytes_per_chunk=2_000)

    loaded = times.with_chunks(1_000_000)

    assert loaded.per_item_s == pytest.approx(2.001)
    assert loaded.memory_gb == pytest.approx(2.5)


def test_a_request_lives_for_its_tokens_and_the_prefills_of_others() -> None:
    engine = GenerationTimes(prefill_s=0.05, step_s=0.01, step_item_s=0.001, tokens=100, max_requests=10)

    # 100 steps of 10 ms + 1 ms for each of 10 requests; and 10 prefills of 50 ms.
    assert engine.as_batch().seconds(10) == pytest.approx(100 * (0.01 + 0.01) + 10 * 0.05)
    assert engine.as_batch().per_s(10) == pytest.approx(10 / 2.5)


def test_concurrent_queries_share_messages() -> None:
    ingress = IngressTimes(cpu_s=0.001, message_cpu_s=0.001, max_wait_s=0.01)

    # One query sends four messages, and one to the generator. At 100 queries/s, a second one arrives within the 10 ms.
    assert ingress.as_batch(1e-9).per_item_s == pytest.approx(0.006)
    assert ingress.as_batch(100).per_item_s == pytest.approx(0.001 + 0.001 * (4 / 2 + 1))
