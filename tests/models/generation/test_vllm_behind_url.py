"""`vllm serve` as a model behind a URL: its answers, and its death in the middle of one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from models.errors.stages import StageUnavailableError
from models.generation.openai_model import OpenAIGenerationConfig, OpenAIModel
from models.generation.vllm_config import VllmConfig
from models.types.chunks import Passage
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta, GenerationRequest, SamplingOptions
from serve.cli.driver.servers import Server, running, vllm_serve

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

TEXT = "The tower is 40 metres tall."
# An answer of MAX_TOKENS takes so long that it is still under way when a slow client comes to kill the server.
MAX_MODEL_LEN, MAX_TOKENS = 65_536, 60_000
POSITIONS = f'{{"max_position_embeddings": {MAX_MODEL_LEN}}}'
FLAGS = ("--max-model-len", str(MAX_MODEL_LEN), "--hf-overrides", POSITIONS)
FLAGS += ("--enforce-eager", "--max-num-seqs", "4", "--dtype", "float32")


@pytest.fixture
def server(vllm_config: VllmConfig, tmp_path: Path) -> Iterator[Server]:
    launch = vllm_serve(Path(vllm_config.source), FLAGS, vllm_config.environment())
    with running(launch, tmp_path, threads=1) as started:
        yield started


@pytest.fixture
async def remote(server: Server) -> AsyncIterator[OpenAIModel]:
    limits = {"max_model_len": MAX_MODEL_LEN, "max_tokens": MAX_TOKENS, "max_retries": 0}
    model = OpenAIModel("remote", OpenAIGenerationConfig(base_url=f"{server.url}/v1", model="model", **limits))
    await model.start()
    yield model
    await model.stop()


def question(**sampling: object) -> GenerationRequest:
    passage = Passage(1, "c1", "file-1", "tower.md", TEXT, 0, len(TEXT))
    return GenerationRequest("req", (ChatMessage("user", "How tall?"),), (passage,), SamplingOptions(**sampling))


async def test_an_answer_from_passages_and_a_chat_come_from_the_server(remote: OpenAIModel) -> None:
    deltas = [delta async for delta in remote.stream(question(max_tokens=8, seed=1))]
    chat = {"model": "remote", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "n": 2}
    (answer,) = [part async for part in remote.complete(CompletionRequest("req", "chat", chat))]

    assert deltas[-1].finish_reason == "length"
    assert (answer["model"], len(answer["choices"]), answer["usage"]["completion_tokens"]) == ("remote", 2, 6)


async def test_a_server_that_dies_fails_the_answer_under_way_and_the_next_one(
    remote: OpenAIModel, server: Server
) -> None:
    answer = remote.stream(question(max_tokens=MAX_TOKENS, seed=2))
    first = await anext(answer)
    parent = psutil.Process(server.pid)
    for process in (*parent.children(recursive=True), parent):
        with suppress(psutil.NoSuchProcess):  # a child may end with another
            process.kill()

    assert first.finish_reason is None
    with pytest.raises(StageUnavailableError):
        await _drain(answer)
    with pytest.raises(StageUnavailableError):
        await _drain(remote.stream(question()))


async def _drain(answer: AsyncIterator[GenerationDelta]) -> None:
    async for _ in answer:
        pass
