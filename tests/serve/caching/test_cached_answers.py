"""An answer from the cache is the answer that would be computed now; what may differ is computed."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from models.corpus.corpus import Corpus
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus
from models.types.generation import ChatMessage, GenerationDelta, GenerationRequest, SamplingOptions
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.pipelines.answering import Answered, Cited, PassagesFound, Query, TextGenerated
from serve.settings import Settings
from tests.contexts import within
from tests.inline import Failing, ingest, question
from tests.patience import PATIENCE_S
from tests.serve.caching.cache_samples import CachedService, CountedGenerator, Reporting, reporting_stages, untraced

OVEN = question("What heats the oven?")


@pytest.fixture
async def service(corpus: Corpus) -> CachedService:
    return CachedService(corpus)


async def test_an_equal_question_gets_the_same_events_from_the_cache(service: CachedService) -> None:
    first = await service.events(OVEN)
    second = await service.events(OVEN)

    assert untraced(second) == untraced(first)
    kinds = [type(event) for event in second]
    assert (kinds[0], kinds[-1]) == (PassagesFound, Answered)
    assert kinds.index(Cited) < kinds.index(TextGenerated)
    assert service.generator.num_answers == 1


async def test_an_answer_says_whether_a_cache_made_it_and_which_models(service: CachedService) -> None:
    first, second = await service.answer(OVEN), await service.answer(OVEN)

    assert (first.trace.cached, second.trace.cached) == ([], ["answers"])
    assert second.trace.models == first.trace.models
    assert second.trace.timings_s.keys() == {"cache", "first_text", "total"}
    assert {"embed", "dense", "rerank", "generate"} <= first.trace.timings_s.keys()


@pytest.mark.parametrize(
    "other",
    [
        replace(OVEN, messages=(ChatMessage("user", "What heats the oven"),)),
        replace(OVEN, messages=(ChatMessage("user", "Who bakes?"), ChatMessage("assistant", "Ann."), *OVEN.messages)),
        replace(OVEN, top_k=1),
        replace(OVEN, sampling=SamplingOptions(max_tokens=5)),
        replace(OVEN, options=replace(OVEN.options, mode="lexical")),
        replace(OVEN, options=replace(OVEN.options, rerank=False)),
    ],
    ids=["another text", "another conversation", "top_k", "max_tokens", "mode", "rerank"],
)
async def test_another_question_is_computed(service: CachedService, other: Query) -> None:
    await service.answer(OVEN)

    answered = await service.answer(other)

    assert "answers" not in answered.trace.cached
    assert service.generator.num_answers == 2


async def test_tenants_share_nothing(service: CachedService) -> None:
    await ingest(service.corpus, "ovens.md", b"The oven is heated with gas.", tenant="globex")
    await service.answer(OVEN)

    answered = await service.answer(question("What heats the oven?", tenant="globex"))

    assert "gas" in answered.text
    assert answered.trace.cached == []


@pytest.mark.parametrize("change", ["ingest", "detach", "attributes", "rename", "delete store", "other store"])
async def test_after_a_change_of_the_store_an_answer_is_computed(service: CachedService, change: str) -> None:
    corpus = service.corpus
    file_id = await ingest(corpus, "mills.md", b"The mill is driven by the oven.")
    await service.answer(OVEN)

    match change:
        case "ingest":
            await ingest(corpus, "new.md", b"The oven is heated with gas now.")
        case "detach":
            corpus.store_files.detach("default", "default", file_id)
        case "attributes":
            corpus.store_files.set_attributes("default", "default", file_id, {"year": 1850})
        case "rename":
            corpus.files.replace("default", file_id, b"The mill is driven by the oven.", "mill.md")
        case "delete store":
            corpus.vector_stores.delete("default", "default")
        case "other store":
            corpus.vector_stores.create("default", "other")
    answered = await service.answer(OVEN)

    assert (answered.trace.cached == []) is (change != "other store")


async def test_an_empty_store_is_not_cached_since_it_has_no_log(service: CachedService) -> None:
    ask = question("What heats the oven?", tenant="empty")
    await service.answer(ask)

    assert (await service.answer(ask)).trace.cached == []


async def test_a_swapped_model_answers_itself(service: CachedService) -> None:
    await service.answer(OVEN)
    service.stages["rerank"].reported = StageStatus("another-reranker")
    await service.read_statuses()

    answers = [await service.answer(OVEN) for _ in range(2)]

    assert [answered.trace.cached for answered in answers] == [[], []]


async def test_a_swapped_model_fills_the_cache_once_all_replicas_have_it(service: CachedService) -> None:
    service.stages["rerank"].reported = StageStatus(service.reranker.swap("another-reranker"))
    await service.settle()

    answers = [await service.answer(OVEN) for _ in range(2)]

    assert [answered.trace.cached for answered in answers] == [[], ["answers"]]
    assert answers[1].trace.models["rerank"] == "another-reranker"


async def test_an_answer_of_another_model_than_the_reported_one_is_not_stored(corpus: Corpus) -> None:
    service = CachedService(corpus, generator=CountedGenerator(model="already-swapped"))

    answers = [await service.answer(OVEN) for _ in range(2)]

    assert [answered.trace.cached for answered in answers] == [[], ["retrieval"]]


async def test_going_back_to_a_model_finds_its_answers_again(service: CachedService) -> None:
    await service.answer(OVEN)
    for model in ("another-reranker", "shortest-first"):
        service.stages["rerank"].reported = StageStatus(model)
        await service.settle()

    assert (await service.answer(OVEN)).trace.cached == ["answers"]


@pytest.mark.parametrize("stage", ["rerank", "generate"])
async def test_while_a_canary_is_on_trial_answers_are_computed(corpus: Corpus, stage: str) -> None:
    stages = reporting_stages()
    stages[stage] = Reporting(replace(stages[stage].reported, canary="on-trial", canary_share=0.1))
    service = CachedService(corpus, stages=stages)

    answers = [await service.answer(OVEN) for _ in range(2)]

    assert all("answers" not in answered.trace.cached for answered in answers)


@pytest.mark.parametrize(
    ("temperature", "num_answers"), [(None, 2), (0.7, 2), (0.0, 1)], ids=["the model's own", "sampled", "greedy"]
)
async def test_a_language_models_answer_is_stored_only_at_temperature_0(
    corpus: Corpus, temperature: float | None, num_answers: int
) -> None:
    service = CachedService(
        corpus, stages=reporting_stages(generate="qwen3-0.6b"), generator=CountedGenerator("qwen3-0.6b")
    )
    ask = replace(OVEN, sampling=SamplingOptions(temperature=temperature))

    for _ in range(2):
        await service.answer(ask)

    assert service.generator.num_answers == num_answers


async def test_a_caller_who_refuses_caches_neither_reads_nor_fills_them(service: CachedService) -> None:
    refusing = replace(within(60), use_caches=False)
    await service.answer(OVEN, refusing)

    second = await service.answer(OVEN)
    third = await service.answer(OVEN, refusing)

    assert (second.trace.cached, third.trace.cached) == ([], [])


class Unsteady(CountedGenerator):
    """Fails at its first answer."""

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        async for delta in super().stream(request, context):
            if self.num_answers == 1:
                raise StageUnavailableError("generate")
            yield delta


async def test_a_degraded_answer_is_not_stored(corpus: Corpus) -> None:
    service = CachedService(corpus, generator=Unsteady())

    answers = [await service.answer(OVEN) for _ in range(3)]

    assert [answered.trace.degraded for answered in answers] == [["generate"], [], []]
    assert answers[1].trace.cached == ["retrieval"]
    assert answers[2].trace.cached == ["answers"]


async def test_an_error_is_not_stored(service: CachedService) -> None:
    service.live._clients.lexical.search = Failing(StageUnavailableError("lexical")).search
    ask = replace(OVEN, options=replace(OVEN.options, mode="lexical"))
    with pytest.raises(StageUnavailableError):
        await service.answer(ask)

    del service.live._clients.lexical.search

    assert (await service.answer(ask)).trace.cached == []


async def test_changed_settings_of_answers_and_retrieval_compute_anew(service: CachedService) -> None:
    await service.answer(OVEN)

    service.live.configure({"retrieval": {"candidates": 20}})
    changed = await service.answer(OVEN)
    service.live.configure({})
    restored = await service.answer(OVEN)

    assert (changed.trace.cached, restored.trace.cached) == ([], ["answers"])


async def test_a_level_can_be_switched_off_while_it_serves(service: CachedService) -> None:
    await service.answer(OVEN)

    service.live.configure({"cache": {"answers": {"enabled": False}}})
    without_answers = await service.answer(OVEN)
    service.live.configure({"cache": {"answers": {"enabled": False}, "retrieval": {"enabled": False}}})
    without_both = await service.answer(OVEN)

    assert (without_answers.trace.cached, without_both.trace.cached) == (["retrieval"], [])


async def test_equal_questions_under_way_are_computed_once(service: CachedService) -> None:
    answers = await asyncio.gather(*(service.answer(OVEN) for _ in range(5)))

    assert service.generator.num_answers == 1
    assert sorted(len(answered.trace.cached) for answered in answers) == [0, 1, 1, 1, 1]
    assert len({answered.text for answered in answers}) == 1


async def test_a_hurried_question_under_way_is_shared_with_nobody(corpus: Corpus) -> None:
    generator = Paused()
    service = CachedService(corpus, generator=generator)
    hurried = asyncio.create_task(service.answer(OVEN, replace(within(60), is_hurried=True)))
    await generator.has_begun.wait()
    generator.has_begun.clear()
    patient = asyncio.create_task(service.answer(OVEN))
    async with asyncio.timeout(PATIENCE_S):
        await generator.has_begun.wait()  # a second computation

    generator.may_go_on.set()
    await asyncio.gather(hurried, patient)

    assert generator.num_answers == 2


async def test_a_waiter_gets_the_answer_whose_first_client_left(corpus: Corpus) -> None:
    generator = Paused()
    service = CachedService(corpus, generator=generator)
    leader = asyncio.create_task(service.answer(OVEN))
    await generator.has_begun.wait()
    waiter = asyncio.create_task(service.answer(OVEN))
    await asyncio.sleep(0)

    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    generator.may_go_on.set()

    assert "beech" in (await waiter).text
    assert generator.num_answers == 1


class Paused(CountedGenerator):
    """Waits before its first text until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        self.has_begun.set()
        await self.may_go_on.wait()
        async for delta in super().stream(request, context):
            yield delta


async def test_a_change_while_an_answer_is_computed_keeps_it_out_of_the_cache(corpus: Corpus) -> None:
    generator = Paused()
    service = CachedService(corpus, Settings(cache={"retrieval": {"enabled": False}}), generator=generator)
    under_way = asyncio.create_task(service.answer(OVEN))
    await generator.has_begun.wait()

    await ingest(corpus, "new.md", b"The oven is heated with gas now.")
    generator.may_go_on.set()
    await under_way

    assert (await service.answer(OVEN)).trace.cached == []


async def test_several_stores_are_all_part_of_the_key(service: CachedService) -> None:
    corpus = service.corpus
    store = corpus.vector_stores.create("default", "second").vector_store_id
    both = replace(OVEN, scope=Scope("default", ("default", store)))
    await service.answer(both)
    stored = await service.answer(both)

    corpus.store_files.attach("default", store, (await ingest(corpus, "gas.md", b"The oven is heated with gas.")))
    changed = await service.answer(both)

    assert (stored.trace.cached, changed.trace.cached) == (["answers"], [])


async def test_the_key_does_not_depend_on_who_sent_the_request_when(service: CachedService) -> None:
    await service.answer(OVEN, RequestContext("first", "default", within(60).deadline))

    second = await service.answer(OVEN, RequestContext("second", "default", within(30).deadline, priority=1))

    assert second.trace.cached == ["answers"]
