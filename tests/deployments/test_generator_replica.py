"""The generator's replica, without Ray around it: which model answers, and what becomes of one that fails."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from deployments.autoscaling import BACKLOG_S, DEMAND
from deployments.generator import Generator
from models.catalog import Catalog, CatalogEntry, ModelEntry
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.generation.base import EngineActivity
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.types.chunks import Passage
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta, GenerationRequest, SamplingOptions
from tests.contexts import envelope
from tests.patience import PATIENCE_S

TEXT = "The spring tide comes twice a month. The neap tide follows a week later."
PASSAGE = Passage(1, "chunk", "file", "tides.md", TEXT, 0, len(TEXT))


class FailingConfig(ExtractiveConfig):
    """When it fails: as it starts, or at the first word of an answer."""

    starts: bool = True


class FailingModel(ExtractiveModel):
    """Fails as an engine does that has died."""

    config_class = FailingConfig

    def __init__(self, name: str, config: FailingConfig) -> None:
        super().__init__(name, config)
        self._starts = config.starts

    async def start(self) -> None:
        if not self._starts:
            raise RuntimeError("out of memory")

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        raise StageUnavailableError("generate")
        yield GenerationDelta("")

    async def check_health(self) -> None:
        raise RuntimeError("the engine is dead")


class WordByWordModel(ExtractiveModel):
    """Streams, as a language model does."""

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        async for delta in super().stream(request):
            for word in delta.text.split():
                yield GenerationDelta(word)
            yield GenerationDelta("", delta.finish_reason)


class WideModel(ExtractiveModel):
    """Runs many requests at once, as an engine does."""

    def activity(self) -> EngineActivity:
        return EngineActivity(max_running=16)


def kind_of(model_class: type[ExtractiveModel]) -> str:
    return f"{model_class.__module__}:{model_class.__name__}"


def entry(kind: str, **options: Any) -> CatalogEntry:
    return ModelEntry(kind=kind, licence="Apache-2.0", options=options)


@pytest_asyncio.fixture
async def generator() -> AsyncIterator[Generator]:
    entries = {
        "wide": entry(kind_of(WideModel)),
        "long": entry(kind_of(WordByWordModel)),
        "short": entry("extractive", max_sentences=1),
        "failing": entry(kind_of(FailingModel)),
        "queueing": entry(kind_of(QueueingModel)),
        "unstartable": entry(kind_of(FailingModel), starts=False),
    }
    made = Generator(Catalog({"embedding": {}, "reranking": {}, "generation": entries}))
    await made.reconfigure({"model": "long"})
    yield made
    await made._slot.close()


async def chosen(generator: Generator, **user_config: Any) -> None:
    await generator.reconfigure(user_config)
    async with asyncio.timeout(PATIENCE_S):
        await generator._slot.until_settled()


def asked(question: str = "When does the spring tide come?", **sampling: Any) -> GenerationRequest:
    return GenerationRequest("r", (ChatMessage("user", question),), (PASSAGE,), SamplingOptions(**sampling))


async def answer(generator: Generator, request: GenerationRequest) -> list[GenerationDelta]:
    return [delta async for delta in generator.stream(request, envelope(PATIENCE_S))]


class QueueingModel(WordByWordModel):
    """An engine that runs one request at a time, and says that each waited an hour in its queue."""

    def observe_queue(self, observe: Callable[[str, float], None]) -> None:
        self._observe = observe

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        self._observe(request.request_id, 3600.0)
        async for delta in super().stream(request):
            yield delta


def measured(name: str, **labels: str) -> float:
    """The value of a metric of the Generator."""
    return REGISTRY.get_sample_value(f"ragserve_stage_{name}", {"stage": "generate", **labels}) or 0.0


async def test_the_time_in_the_engines_queue_is_queue_and_no_work(generator: Generator) -> None:
    await chosen(generator, model="queueing")
    before = {name: measured(name) for name in ("queue_seconds_sum", "queue_seconds_count", "compute_seconds_count")}
    worked_s = measured("compute_seconds_sum")

    await answer(generator, asked())

    assert measured("queue_seconds_sum") - before["queue_seconds_sum"] >= 3600
    assert measured("queue_seconds_count") - before["queue_seconds_count"] == 1
    assert measured("compute_seconds_count") - before["compute_seconds_count"] == 1
    assert measured("compute_seconds_sum") - worked_s < 3600


async def test_streams_beyond_the_slots_wait_and_one_that_is_closed_is_a_drop(generator: Generator) -> None:
    dropped = measured("dropped_total", reason="cancelled")
    streams = [generator.stream(asked(), envelope(PATIENCE_S)) for _ in range(3)]
    for stream in streams:
        await anext(stream)
    num_waiting = measured("waiting_calls")
    for stream in streams:
        await stream.aclose()

    assert (num_waiting, measured("waiting_calls")) == (2, 0)
    assert measured("dropped_total", reason="cancelled") == dropped + 3


async def test_a_swapped_model_answers_the_next_request(generator: Generator) -> None:
    first = await answer(generator, asked())
    await chosen(generator, model="short")
    second = await answer(generator, asked())

    assert ({delta.model for delta in first}, {delta.model for delta in second}) == ({"long"}, {"short"})
    assert (await generator.status()).model == "short"


async def test_a_stream_under_way_ends_with_the_model_that_it_began_with(generator: Generator) -> None:
    async with aclosing(generator.stream(asked("spring neap tide"), envelope(PATIENCE_S))) as deltas:
        models = [(await anext(deltas)).model]
        await generator.reconfigure({"model": "short"})
        async with asyncio.timeout(PATIENCE_S):
            while (await generator.status()).model != "short":  # noqa: ASYNC110, settled it is once the stream ends
                await asyncio.sleep(0)
        models += [delta.model async for delta in deltas]

    assert len(models) > 1
    assert set(models) == {"long"}


async def test_a_model_that_does_not_start_leaves_the_old_one(generator: Generator) -> None:
    await chosen(generator, model="unstartable", swap="in_turn")

    status = await generator.status()
    assert status.model == "long"
    assert status.error == "model 'unstartable' does not load: RuntimeError; the log has the details"
    assert {delta.model for delta in await answer(generator, asked())} == {"long"}


async def test_what_a_canary_cannot_answer_the_serving_model_does(generator: Generator) -> None:
    await chosen(generator, model="long", canary={"model": "failing", "share": 0.999})

    deltas = await answer(generator, asked())

    assert {(delta.model, delta.failed_canary) for delta in deltas} == {("long", "failing")}
    assert deltas[-1].finish_reason == "stop"


async def test_a_canary_answers_its_share_but_no_adapters(generator: Generator) -> None:
    await chosen(generator, model="long", canary={"model": "short", "share": 0.999})

    plain = await answer(generator, asked())
    adapted = await answer(generator, asked(adapter="law"))

    assert ({delta.model for delta in plain}, {delta.model for delta in adapted}) == ({"short"}, {"long"})


async def test_the_probe_takes_a_dead_canary_out_and_keeps_the_replica(generator: Generator) -> None:
    await chosen(generator, model="long", canary={"model": "failing", "share": 0.5})

    await generator.check_health()

    status = await generator.status()
    assert (status.model, status.canary) == ("long", "")
    assert status.error == "canary 'failing' failed: RuntimeError"


async def test_the_probe_fails_with_the_serving_model(generator: Generator) -> None:
    await chosen(generator, model="failing")

    with pytest.raises(RuntimeError, match="the engine is dead"):
        await generator.check_health()


async def test_a_model_that_only_quotes_completes_nothing_and_says_so(generator: Generator) -> None:
    request = CompletionRequest("r", "chat", {"model": "long", "messages": [{"role": "user", "content": "Hello"}]})

    with pytest.raises(InvalidRequestError, match="only quotes: bring a context"):
        async for _ in generator.complete(request, envelope(PATIENCE_S)):
            pass


async def test_a_request_under_way_is_work_and_one_that_ended_is_none(generator: Generator) -> None:
    async with aclosing(generator.stream(asked(), envelope(PATIENCE_S))) as deltas:
        await anext(deltas)
        await answer(generator, asked())
        under_way = generator.record_autoscaling_stats()
    ended = generator.record_autoscaling_stats()

    assert under_way[DEMAND] > 0
    assert under_way[BACKLOG_S] > 0
    assert ended[BACKLOG_S] == 0


async def test_a_request_costs_its_share_of_what_the_model_runs_at_once(generator: Generator) -> None:
    await chosen(generator, model="wide")

    generator.record_autoscaling_stats()

    assert generator._meter.slots == 16
