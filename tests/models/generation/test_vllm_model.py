"""VllmModel over one real engine, with a tiny Llama of random weights."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from models.errors.configuration import ModelNotFoundError
from models.errors.model_failures import ModelLoadError
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.generation.citations import CitationStream
from models.generation.vllm_config import VllmConfig
from models.generation.vllm_model import VllmModel
from models.types.generation import GenerationRequest, SamplingOptions
from tests.models.generation.engine_probe import MAX_MODEL_LEN, collect, num_running_in_the_core, until
from tests.models.generation.samples import RIVER, TOWER, asking, passage
from tests.patience import PATIENCE_S

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    # torch's own, when vLLM imports it.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

LONG = SamplingOptions(max_tokens=500, temperature=1.0, seed=1)


def request(sampling: SamplingOptions = LONG) -> GenerationRequest:
    return asking("How tall is the tower?", passage(TOWER), passage(RIVER), sampling=sampling)


async def test_a_checkpoint_that_is_not_there_does_not_load(tmp_path: Path, vllm_environment: None) -> None:
    missing = VllmModel("missing", VllmConfig(source=str(tmp_path / "none"), max_model_len=512, max_tokens=100))

    with pytest.raises(ModelLoadError, match="'missing' does not load"):
        await missing.start()


async def test_before_start_it_is_unavailable(vllm_config: VllmConfig) -> None:
    idle = VllmModel("tiny", vllm_config)

    assert idle.activity().num_unfinished == 0
    with pytest.raises(StageUnavailableError):
        await idle.check_health()
    with pytest.raises(StageUnavailableError):
        await collect(idle, request())


async def test_it_streams_deltas_and_counts_tokens(model: VllmModel) -> None:
    *deltas, last = await collect(model, request(SamplingOptions(max_tokens=20, temperature=1.0, seed=1)))

    assert len(deltas) >= 2
    assert all(delta.finish_reason is None for delta in deltas)
    assert (last.finish_reason, last.num_completion_tokens) == ("length", 20)
    assert 300 < last.num_prompt_tokens < MAX_MODEL_LEN
    assert model.activity().num_unfinished == 0
    assert model.activity().max_running == 4  # the config's max_num_seqs
    await model.check_health()


async def test_a_seed_repeats_the_answer_and_greedy_is_the_default(model: VllmModel) -> None:
    options = SamplingOptions(max_tokens=30, temperature=1.0, seed=7)
    requests = [request(options), request(options), request(SamplingOptions(30)), request(SamplingOptions(30))]

    texts = ["".join(delta.text for delta in await collect(model, each)) for each in requests]

    assert texts[0] == texts[1] != texts[2] == texts[3]


async def test_it_stops_at_a_stop_string_and_leaves_it_out(model: VllmModel) -> None:
    whole = "".join(delta.text for delta in await collect(model, request()))
    stop = whole[40:43]

    deltas = await collect(model, request(SamplingOptions(500, temperature=1.0, seed=1, stop=(stop,))))

    assert "".join(delta.text for delta in deltas) == whole[: whole.index(stop)]
    assert deltas[-1].finish_reason == "stop"


async def test_a_slow_reader_gets_what_has_gathered_in_one_delta(model: VllmModel) -> None:
    async with asyncio.timeout(PATIENCE_S):
        deltas = model.stream(request())
        first = await anext(deltas)
        await until(lambda: model.activity().num_unfinished == 0)
        later = [delta async for delta in deltas]

    assert first.finish_reason is None
    assert len(later) == 1
    assert later[0].num_completion_tokens == 500


async def test_a_stream_carries_what_gathers_within_its_pace(model: VllmModel, vllm_config: VllmConfig) -> None:
    start = time.perf_counter()

    *deltas, last = await collect(model, request())

    assert last.num_completion_tokens == LONG.max_tokens
    assert len(deltas) <= 1 + (time.perf_counter() - start) / vllm_config.stream_gather_s


async def test_closing_the_stream_frees_the_engine(model: VllmModel) -> None:
    deltas = model.stream(request())
    await anext(deltas)
    assert model.activity().num_unfinished == 1

    await deltas.aclose()

    assert model.activity().num_unfinished == 0
    await until(lambda: num_running_in_the_core() == 0)


async def test_cancelling_the_reader_frees_the_engine(model: VllmModel) -> None:
    reading = asyncio.create_task(collect(model, request()))
    await until(lambda: model.activity().num_unfinished == 1)

    reading.cancel()
    await asyncio.wait([reading])

    assert reading.cancelled()
    assert model.activity().num_unfinished == 0
    await until(lambda: num_running_in_the_core() == 0)


async def test_four_streams_run_at_once_even_under_one_id(model: VllmModel) -> None:
    streams = [model.stream(request()) for _ in range(4)]

    await asyncio.gather(*(anext(stream) for stream in streams))
    num_at_once = model.activity().num_unfinished
    await streams[0].aclose()
    outputs = [[delta async for delta in stream] for stream in streams[1:]]

    assert num_at_once == 4
    assert [deltas[-1].num_completion_tokens for deltas in outputs] == [500] * 3


async def test_passages_are_left_out_so_that_the_answer_fits(model: VllmModel) -> None:
    many = [passage(TOWER, start=1000 * number) for number in range(50)]

    *_, last = await collect(model, asking("How tall is it?", *many, sampling=LONG))

    assert last.num_completion_tokens == 500
    assert last.num_prompt_tokens <= MAX_MODEL_LEN - 500


async def test_a_question_that_does_not_fit_is_refused(model: VllmModel) -> None:
    with pytest.raises(InvalidRequestError, match="too long"):
        await collect(model, asking("Why? " * MAX_MODEL_LEN, passage(TOWER), sampling=LONG))

    assert model.activity().num_unfinished == 0


async def test_a_sampling_option_out_of_range_is_refused(model: VllmModel) -> None:
    with pytest.raises(InvalidRequestError, match="top_p"):
        await collect(model, request(SamplingOptions(10, top_p=3.0)))


async def test_more_tokens_than_the_configured_most_are_asked_for_in_vain(model: VllmModel) -> None:
    *_, last = await collect(model, asking("Why?", sampling=SamplingOptions(800, temperature=1.0, seed=1)))

    assert last.num_completion_tokens == 600


async def test_an_adapter_answers_otherwise_and_an_unknown_one_is_refused(model: VllmModel) -> None:
    adapters = (None, "tiny-law", "tiny-sea")
    requests = [request(SamplingOptions(40, adapter=adapter)) for adapter in adapters]

    texts = ["".join(delta.text for delta in await collect(model, each)) for each in requests]

    assert len(set(texts)) == 3
    with pytest.raises(ModelNotFoundError, match="did you mean 'tiny-law'"):
        await collect(model, request(SamplingOptions(40, adapter="tiny-raw")))


async def test_an_answer_keeps_to_its_schema_and_its_arrays_are_no_citations(model: VllmModel) -> None:
    one_of = {"type": "array", "items": {"enum": [1, 2, 99]}, "minItems": 1, "maxItems": 1}
    schema = {"type": "object", "properties": {"sure": one_of, "also": one_of}, "required": ["sure", "also"]}
    schema["additionalProperties"] = False
    json_request = request(SamplingOptions(200, temperature=1.0, seed=1, response_schema=schema))

    stream = CitationStream(json_request.passages)
    cited = [stream.read(delta) for delta in await collect(model, json_request)]
    whole = json.loads("".join(piece.text for piece in [*cited, stream.finish()]))

    assert set(whole) == {"sure", "also"}
    assert {number for numbers in whole.values() for number in numbers} <= {1, 2, 99}
    assert [citation for piece in cited for citation in piece.citations] == []


async def test_a_schema_that_is_none_is_refused(model: VllmModel) -> None:
    with pytest.raises(InvalidRequestError):
        await collect(model, request(SamplingOptions(10, response_schema={"type": "nothing"})))

    assert model.activity().num_unfinished == 0
