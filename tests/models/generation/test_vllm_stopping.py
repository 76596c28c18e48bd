"""The end of the engine that the tests of this folder share: nothing of it may be left."""

import asyncio

import psutil
import pytest

from models.errors.stages import StageUnavailableError
from models.generation.vllm_model import VllmModel
from models.types.generation import CompletionRequest, SamplingOptions
from tests.models.generation.engine_probe import children, collect, until
from tests.models.generation.samples import TOWER, asking, passage

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    # torch's own, when vLLM imports it.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    # vLLM's own, when it reads OpenAI's older name.
    pytest.mark.filterwarnings("ignore:max_tokens is deprecated:DeprecationWarning"),
]


async def complete(model: VllmModel) -> list[dict[str, object]]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 500, "ignore_eos": True}
    return [response async for response in model.complete(CompletionRequest("one", "chat", body))]


async def test_stopping_ends_running_streams_and_leaves_no_process(
    processes_before: set[psutil.Process], model: VllmModel
) -> None:
    request = asking("How tall is the tower?", passage(TOWER), sampling=SamplingOptions(500, temperature=1.0, seed=1))
    reading = [asyncio.create_task(collect(model, request)), asyncio.create_task(complete(model))]
    await until(lambda: model.activity().num_unfinished == 2)
    engine = children() - processes_before
    assert engine

    await model.stop()

    for task in reading:
        with pytest.raises(StageUnavailableError):
            await task
    assert not children() & engine
    with pytest.raises(StageUnavailableError):
        await model.check_health()
