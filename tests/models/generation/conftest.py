"""One engine for all the tests of vLLM: starting it takes most of their time."""

from collections.abc import AsyncGenerator, Iterator

import psutil
import pytest
import pytest_asyncio

from models.generation.vllm_config import VllmConfig
from models.generation.vllm_model import VllmModel
from tests.models.generation.engine_probe import MAX_MODEL_LEN, MAX_TOKENS, children
from tests.otlp_receiver import Receiver
from tests.tiny_llama import build_tiny_llama
from tests.tiny_lora import build_tiny_lora


@pytest.fixture(scope="session")
def receiver() -> Receiver:
    """Never closed: vLLM exports its last spans when this process ends."""
    return Receiver()


@pytest.fixture(scope="session")
def vllm_config(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> VllmConfig:
    folder = tmp_path_factory.mktemp("tiny-llama")
    return VllmConfig(
        source=str(build_tiny_llama(folder / "base")),
        max_model_len=MAX_MODEL_LEN,
        max_tokens=MAX_TOKENS,
        adapters={
            f"tiny-{name}": str(build_tiny_lora(folder / name, seed)) for seed, name in enumerate(("law", "sea"))
        },
        tool_parser="hermes",
        engine_kwargs={"max_num_seqs": 4, "otlp_traces_endpoint": receiver.endpoint},
        cpu_kv_cache_gib=1,
        cpu_threads=1,
    )


@pytest.fixture(scope="session")
def vllm_environment(vllm_config: VllmConfig, receiver: Receiver) -> Iterator[None]:
    # vLLM sets the endpoint by itself; here it is unset at the end.
    tracing = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.endpoint}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**vllm_config.environment(), **tracing, "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def processes_before(vllm_environment: None) -> set[psutil.Process]:
    return children()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model(vllm_config: VllmConfig, processes_before: set[psutil.Process]) -> AsyncGenerator[VllmModel, None]:
    """Its last user is the test that stops it; stopping it again does nothing."""
    tiny = VllmModel("tiny", vllm_config)
    await tiny.start()
    yield tiny
    await tiny.stop()
