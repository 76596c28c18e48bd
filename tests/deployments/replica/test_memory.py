"""What a second model will take, and what is free for it."""

from pathlib import Path

import psutil
import pytest

from deployments.replica import memory
from deployments.replica.memory import ENGINE_BYTES, Memory, free_host_bytes, required_memory
from models.catalog import Catalog
from models.embedding.sentence_transformers_model import SentenceTransformersConfig
from models.generation.extractive import ExtractiveConfig
from models.generation.vllm_config import VllmConfig

GIB = 1024**3


@pytest.fixture
def weights(tmp_path: Path) -> str:
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    (tmp_path / "tokenizer.json").write_bytes(bytes(500))
    return str(tmp_path)


def test_a_torch_model_may_double_its_weights(weights: str) -> None:
    config = SentenceTransformersConfig(source=weights, dim=8, max_tokens=8)

    assert required_memory("one", config, total_gpu_bytes=0) == Memory(host=2000)
    assert required_memory("one", config, total_gpu_bytes=80 * GIB) == Memory(gpu=2000)
    assert required_memory("one", config.model_copy(update={"device": "cpu"}), total_gpu_bytes=80 * GIB) == Memory(
        host=2000
    )


def test_an_engine_takes_its_cache_or_its_share_of_the_device(weights: str) -> None:
    config = VllmConfig(source=weights, max_model_len=2048, cpu_kv_cache_gib=3)
    half = config.model_copy(update={"engine_kwargs": {"gpu_memory_utilization": 0.5}})

    assert required_memory("one", config, total_gpu_bytes=0) == Memory(host=2000 + ENGINE_BYTES + 3 * GIB)
    assert required_memory("one", config, total_gpu_bytes=100).gpu == 92
    assert required_memory("one", half, total_gpu_bytes=100).gpu == 50


def test_a_language_model_from_a_package_counts_as_what_its_file_is_converted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "four_bit_weights").mkdir()
    (tmp_path / "four_bit_weights" / "small.gguf").write_bytes(bytes(100))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = VllmConfig(source="owner/small", package="four_bit_weights", max_model_len=2048, cpu_kv_cache_gib=1)

    assert required_memory("one", config, total_gpu_bytes=0) == Memory(host=600 + ENGINE_BYTES + GIB)


def test_what_has_no_weights_or_none_yet_takes_nothing() -> None:
    absent = SentenceTransformersConfig(source="owner/never-downloaded", dim=8, max_tokens=8)

    assert required_memory("one", ExtractiveConfig(), total_gpu_bytes=0) == Memory()
    assert required_memory("one", absent, total_gpu_bytes=0) == Memory()


@pytest.mark.parametrize("limit", ["1000", "max"])
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    (tmp_path / "max").write_text(f"{limit}\n")
    (tmp_path / "current").write_text("400\n")
    monkeypatch.setattr(memory, "CGROUPS", ((tmp_path / "max", tmp_path / "current"), (tmp_path / "a", tmp_path / "b")))

    free = free_host_bytes()

    if limit == "max":
        assert 550 < free < psutil.virtual_memory().total
    else:
        assert free == 550


def test_a_model_larger_than_the_machine_does_not_fit(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(
        "generation: {huge: {kind: vllm, licence: Apache-2.0, options: "
        "{source: owner/huge, max_model_len: 2048, cpu_kv_cache_gib: 100000}}}"
    )

    assert memory.fits_beside(Catalog.open(), "embedding", "minilm")
    assert not memory.fits_beside(Catalog.open(catalog), "generation", "huge")
