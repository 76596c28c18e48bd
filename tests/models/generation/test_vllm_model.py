"""VllmModel over one real engine, with a tiny Llama of random weights."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from models.errors import ConfigError, InvalidRequestError, ModelLoadError, StageUnavailableError
from models.generation.vllm_model import VllmConfig, VllmModel
from models.types import GenerationDelta, GenerationRequest, SamplingOptions
from tests.models.generation.samples import RIVER, TOWER, asking, passage
from tests.tiny_llama import build_tiny_llama

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    # torch's own, when vLLM imports it.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

MAX_MODEL_LEN = 1024
LONG = SamplingOptions(max_tokens=500, temperature=1.0, seed=1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="module")
def config(checkpoint: Path) -> VllmConfig:
    return VllmConfig(
        source=str(checkpoint),
        max_model_len=MAX_MODEL_LEN,
        max_tokens=600,
        engine_kwargs={"max_num_seqs": 4},
        cpu_kv_cache_gib=1,
        cpu_threads=1,
    )


@pytest.fixture(scope="module")
def environment(config: VllmConfig) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**VllmModel("tiny", config).environment(), "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model(config: VllmConfig, environment: None) -> AsyncGenerator[VllmModel, None]:
    """Its last user is the test that stops it; stopping it again does nothing."""
    tiny = VllmModel("tiny", config)
    await tiny.start()
    yield tiny
    await tiny.stop()


@pytest.fixture(scope="module")
def processes_before(environment: None) -> set[psutil.Process]:
    # Python's own helper, which stays until this process ends.
    resource_tracker.ensure_running()
    return children()


def children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def request(sampling: SamplingOptions = LONG) -> GenerationRequest:
    return asking("How tall is the tower?", passage(TOWER), passage(RIVER), sampling=sampling)


async def collect(model: VllmModel, asked: GenerationRequest) -> list[GenerationDelta]:
    return [delta async for delta in model.stream(asked)]


async def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Returns once `condition` holds; TimeoutError after `limit_s`."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the engine has no event to wait for
            await asyncio.sleep(0.01)


def num_running_in_the_core() -> float:
    """What the engine's own process last said, as vLLM exports it to Prometheus."""
    from vllm.v1.metrics.reader import get_metrics_snapshot

    gauges = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    return sum(metric.value for metric in get_metrics_snapshot() if metric.name in gauges)


async def test_an_unknown_engine_argument_is_refused_with_the_nearest_known(config: VllmConfig) -> None:
    with pytest.raises(ConfigError, match="no engine argument 'max_num_seq'; did you mean 'max_num_seqs'"):
        VllmConfig(source=config.source, max_model_len=512, max_tokens=100, engine_kwargs={"max_num_seq": 4})


async def test_an_engine_argument_with_a_field_of_its_own_is_refused(config: VllmConfig) -> None:
    with pytest.raises(ConfigError, match="'model' is set by 'source'"):
        VllmConfig(source=config.source, max_model_len=512, max_tokens=100, engine_kwargs={"model": "other"})


async def test_a_checkpoint_that_is_not_there_does_not_load(tmp_path: Path, environment: None) -> None:
    missing = VllmModel("missing", VllmConfig(source=str(tmp_path / "none"), max_model_len=512, max_tokens=100))

    with pytest.raises(ModelLoadError, match="'missing' does not load"):
        await missing.start()


async def test_before_start_it_is_unavailable(config: VllmConfig) -> None:
    idle = VllmModel("tiny", config)

    assert idle.num_unfinished() == 0
    with pytest.raises(StageUnavailableError):
        await idle.check_health()
    with pytest.raises(StageUnavailableError):
        await collect(idle, request())


async def test_it_streams_deltas_and_counts_tokens(processes_before: set[psutil.Process], model: VllmModel) -> None:
    *deltas, last = await collect(model, request(SamplingOptions(max_tokens=20, temperature=1.0, seed=1)))

    assert len(deltas) >= 2
    assert all(delta.finish_reason is None for delta in deltas)
    assert (last.finish_reason, last.num_completion_tokens) == ("length", 20)
    assert 300 < last.num_prompt_tokens < MAX_MODEL_LEN
    assert model.num_unfinished() == 0
    await model.check_health()


async def test_a_seed_repeats_the_answer_and_greedy_is_the_default(model: VllmModel) -> None:
    options = SamplingOptions(max_tokens=30, temperature=1.0, seed=7)
    asked = [request(options), request(options), request(SamplingOptions(30)), request(SamplingOptions(30))]

    texts = ["".join(delta.text for delta in await collect(model, each)) for each in asked]

    assert texts[0] == texts[1] != texts[2] == texts[3]


async def test_it_stops_at_a_stop_string_and_leaves_it_out(model: VllmModel) -> None:
    whole = "".join(delta.text for delta in await collect(model, request()))
    stop = whole[40:43]

    deltas = await collect(model, request(SamplingOptions(500, temperature=1.0, seed=1, stop=(stop,))))

    assert "".join(delta.text for delta in deltas) == whole[: whole.index(stop)]
    assert deltas[-1].finish_reason == "stop"


async def test_a_slow_reader_gets_what_has_gathered_in_one_delta(model: VllmModel) -> None:
    async with asyncio.timeout(60):
        deltas = model.stream(request())
        first = await anext(deltas)
        await until(lambda: model.num_unfinished() == 0)
        rest = [delta async for delta in deltas]

    assert first.finish_reason is None
    assert len(rest) == 1
    assert rest[0].num_completion_tokens == 500


async def test_closing_the_stream_frees_the_engine(model: VllmModel) -> None:
    deltas = model.stream(request())
    await anext(deltas)
    assert model.num_unfinished() == 1

    await deltas.aclose()

    assert model.num_unfinished() == 0
    await until(lambda: num_running_in_the_core() == 0)


async def test_cancelling_the_reader_frees_the_engine(model: VllmModel) -> None:
    reading = asyncio.create_task(collect(model, request()))
    await until(lambda: model.num_unfinished() == 1)

    reading.cancel()
    await asyncio.wait([reading])

    assert reading.cancelled()
    assert model.num_unfinished() == 0
    await until(lambda: num_running_in_the_core() == 0)


async def test_four_streams_run_at_once_even_under_one_id(model: VllmModel) -> None:
    streams = [model.stream(request()) for _ in range(4)]

    await asyncio.gather(*(anext(stream) for stream in streams))
    num_at_once = model.num_unfinished()
    await streams[0].aclose()
    rest = [[delta async for delta in stream] for stream in streams[1:]]

    assert num_at_once == 4
    assert [deltas[-1].num_completion_tokens for deltas in rest] == [500] * 3


async def test_passages_are_left_out_so_that_the_answer_fits(model: VllmModel) -> None:
    many = [passage(TOWER, start=1000 * number) for number in range(50)]

    *_, last = await collect(model, asking("How tall is it?", *many, sampling=LONG))

    assert last.num_completion_tokens == 500
    assert last.num_prompt_tokens <= MAX_MODEL_LEN - 500


async def test_a_question_that_does_not_fit_is_refused(model: VllmModel) -> None:
    with pytest.raises(InvalidRequestError, match="too long"):
        await collect(model, asking("Why? " * MAX_MODEL_LEN, passage(TOWER), sampling=LONG))

    assert model.num_unfinished() == 0


async def test_a_sampling_option_out_of_range_is_refused(model: VllmModel) -> None:
    with pytest.raises(InvalidRequestError, match="top_p"):
        await collect(model, request(SamplingOptions(10, top_p=3.0)))


async def test_more_tokens_than_the_configured_most_are_asked_for_in_vain(model: VllmModel) -> None:
    *_, last = await collect(model, asking("Why?", sampling=SamplingOptions(800, temperature=1.0, seed=1)))

    assert last.num_completion_tokens == 600


async def test_stopping_ends_running_streams_and_leaves_no_process(
    processes_before: set[psutil.Process], model: VllmModel
) -> None:
    reading = asyncio.create_task(collect(model, request()))
    await until(lambda: model.num_unfinished() == 1)
    assert children() > processes_before

    await model.stop()

    with pytest.raises(StageUnavailableError):
        await reading
    assert children() == processes_before
    with pytest.raises(StageUnavailableError):
        await model.check_health()
