"""The contracts of Answering and Retrieving, over each pipeline and each wrapper."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.errors.requests import NotFoundError
from models.errors.stages import StageUnavailableError
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.caching import answers, retrieval
from serve.caching.answers import AnswerSettings, CachedAnswering
from serve.caching.config import LevelConfig
from serve.caching.flights import Flights
from serve.caching.keys import ResultKeys
from serve.caching.level import CacheLevel
from serve.caching.retrieval import CachedRetrieval
from serve.caching.serving import ServingStages
from serve.pipelines.answering import Answered, Answering, Cited, PassagesFound, TextGenerated
from serve.pipelines.measured_answering import MeasuredAnswering
from serve.pipelines.metering import CostConfig, Metering
from serve.pipelines.observed_answering import ObservedAnswering
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.recent_answers import RecentAnswers
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline
from serve.pipelines.retrieving import RetrievalQuery, Retrieving
from serve.pipelines.routed_retrieval import RoutedRetrieval
from serve.pipelines.slow_questions import LogConfig, SlowQuestions
from serve.pipelines.small_talk_answering import SmallTalkAnswering
from serve.pipelines.trace import Trace
from serve.pipelines.undegraded import UndegradedAnswering
from serve.pipelines.weighed_retrieval import WeighedRetrieval
from tests.contexts import within
from tests.inline import Failing, ingest, inline_stages, open_corpus, question, retrieval_stages
from tests.serve.caching.cache_samples import SteadyStores, reporting_stages

MakeAnswering = Callable[[QueryStages], Answering]
MakeRetrieving = Callable[[Corpus], Retrieving]
FILES = {
    "ovens.md": b"The oven is heated with beech wood.",
    "ships.md": b"A schooner has two masts, and a brig has two masts as well.",
}


def pipeline(stages: QueryStages) -> Answering:
    return QueryPipeline(stages, QueryConfig())


def observed(stages: QueryStages) -> Answering:
    return ObservedAnswering(pipeline(stages), Metering(CostConfig()), RecentAnswers())


def measured(stages: QueryStages) -> Answering:
    return SlowQuestions(MeasuredAnswering(UndegradedAnswering(pipeline(stages))), LogConfig(slow_question_s=0.001))


def searches(corpus: Corpus) -> Retrieving:
    return RetrievalPipeline(retrieval_stages(corpus), RetrievalConfig())


def routed(corpus: Corpus) -> Retrieving:
    return RoutedRetrieval(searches(corpus))


def result_keys(stages: Sequence[str]) -> ResultKeys:
    return ResultKeys(SteadyStores(), ServingStages(reporting_stages(), Catalog.open(None)), stages)


def cached_answers(stages: QueryStages) -> Answering:
    settings = AnswerSettings(QueryConfig(), RetrievalConfig())
    level = CacheLevel("answers", LevelConfig())
    return CachedAnswering(pipeline(stages), level, Flights("answers"), result_keys(answers.STAGES), settings)


def cached_retrieval(corpus: Corpus) -> Retrieving:
    level, keys = CacheLevel("retrieval", LevelConfig()), result_keys(retrieval.STAGES)
    return CachedRetrieval(routed(corpus), level, Flights("retrieval"), keys, RetrievalConfig())


def without_small_talk(stages: QueryStages) -> Answering:
    return SmallTalkAnswering(pipeline(stages))


def weighed(corpus: Corpus) -> Retrieving:
    return WeighedRetrieval(searches(corpus))


answerings = pytest.mark.parametrize("make", [pipeline, observed, measured, without_small_talk, cached_answers])
retrievings = pytest.mark.parametrize("make", [searches, routed, weighed, cached_retrieval])


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    corpus = open_corpus(tmp_path)
    for filename, content in FILES.items():
        await ingest(corpus, filename, content)
    yield corpus
    corpus.close()


class Endless:
    """A generator without an end, which tells when it is closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        try:
            while True:
                yield GenerationDelta("word ")
        finally:
            self.is_closed = True


@answerings
async def test_passages_come_first_and_the_answer_last(make: MakeAnswering, corpus: Corpus) -> None:
    answering = make(inline_stages(corpus))

    events = [event async for event in answering.answer(question("What heats the oven?"), within(60))]

    kinds = [type(event) for event in events]
    assert kinds[0] is PassagesFound
    assert kinds.index(Cited) < kinds.index(TextGenerated)
    assert kinds.index(Answered) == len(kinds) - 1


@answerings
async def test_the_answer_holds_the_text_and_citations_of_the_events(make: MakeAnswering, corpus: Corpus) -> None:
    answering = make(inline_stages(corpus))

    events = [event async for event in answering.answer(question("What heats the oven?"), within(60))]

    answered = events[-1]
    assert isinstance(answered, Answered)
    assert answered.text == "".join(event.text for event in events if isinstance(event, TextGenerated))
    assert answered.citations == tuple(event.citation for event in events if isinstance(event, Cited))


@answerings
async def test_closing_an_answer_closes_the_generators_stream(make: MakeAnswering, corpus: Corpus) -> None:
    generator = Endless()
    events = make(inline_stages(corpus, generator=generator)).answer(question("oven"), within(60))
    async for event in events:
        if isinstance(event, TextGenerated):
            break

    await events.aclose()

    assert generator.is_closed


async def test_a_stream_that_its_client_leaves_uses_tokens(corpus: Corpus) -> None:
    """Else nobody who leaves before the last event would ever reach a limit."""
    used: list[tuple[str, int]] = []
    metering = Metering(CostConfig(), lambda tenant, num_tokens: used.append((tenant, num_tokens)))
    answering = ObservedAnswering(pipeline(inline_stages(corpus, generator=Endless())), metering, RecentAnswers())
    events, num_texts = answering.answer(question("What heats the oven?"), within(60)), 0
    async for event in events:
        num_texts += isinstance(event, TextGenerated)
        if num_texts == 20:
            break

    await events.aclose()

    (read_tenant, num_read), (wrote_tenant, num_written) = used
    assert read_tenant == wrote_tenant == "default"
    assert num_read >= len(FILES["ovens.md"]) // 4
    assert num_written == 25  # of 20 words with 5 characters, 4 a token


async def test_an_answer_that_ended_is_counted_once(corpus: Corpus) -> None:
    used: list[int] = []
    metering = Metering(CostConfig(), lambda _, num_tokens: used.append(num_tokens))
    answering = ObservedAnswering(pipeline(inline_stages(corpus)), metering, RecentAnswers())

    events = [event async for event in answering.answer(question("What heats the oven?"), within(60))]

    answered = events[-1]
    assert isinstance(answered, Answered)
    assert used == [each for each in (answered.num_prompt_tokens, answered.num_completion_tokens) if each]


@answerings
async def test_an_error_of_the_path_reaches_the_caller(make: MakeAnswering, corpus: Corpus) -> None:
    down = Failing(StageUnavailableError("generate"))
    answering = make(inline_stages(corpus, generator=down, fallback=down))

    with pytest.raises(StageUnavailableError):
        async for _ in answering.answer(question("oven"), within(60)):
            pass


@retrievings
async def test_passages_are_best_first_in_scope_and_at_most_top_k(make: MakeRetrieving, corpus: Corpus) -> None:
    query = RetrievalQuery("What heats the oven?", Scope("default", ("default",)), top_k=1)

    retrieved = await make(corpus).retrieve(query, within(10))

    assert [passage.filename for passage in retrieved.passages] == ["ovens.md"]
    assert retrieved.num_candidates == 2


@retrievings
async def test_times_and_models_are_in_the_trace_of_the_caller(make: MakeRetrieving, corpus: Corpus) -> None:
    trace = Trace()

    retrieved = await make(corpus).retrieve(
        RetrievalQuery("What heats the oven?", Scope("default", ("default",)), top_k=1), within(10), trace
    )

    assert retrieved.trace is trace
    assert {"embed", "dense", "lexical", "fuse", "rerank"} <= trace.timings_s.keys()


@retrievings
async def test_the_same_query_again_finds_the_same_passages(make: MakeRetrieving, corpus: Corpus) -> None:
    query = RetrievalQuery("What heats the oven?", Scope("default", ("default",)), top_k=2)
    retrieving = make(corpus)

    first, second = await retrieving.retrieve(query, within(10)), await retrieving.retrieve(query, within(10))

    assert (second.passages, second.term_weights) == (first.passages, first.term_weights)
    assert second.trace.models == first.trace.models


@retrievings
async def test_an_unknown_vector_store_is_not_found(make: MakeRetrieving, corpus: Corpus) -> None:
    query = RetrievalQuery("oven", Scope("default", ("vs_unknown",)), top_k=1)

    with pytest.raises(NotFoundError):
        await make(corpus).retrieve(query, within(10))
