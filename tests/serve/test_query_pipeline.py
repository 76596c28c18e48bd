"""The query path over real indexes and a real corpus, without Ray; also with one stage after the other down."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from deployments.generator import InlineGenerator
from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.requests import InvalidRequestError, NotFoundError
from models.errors.stages import DeadlineExceededError, InternalError, StageUnavailableError
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.generation.passage_order import OrderName
from models.types.generation import GenerationDelta, GenerationRequest, SamplingOptions
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.pipelines.answering import Answered, Cited, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.query import QueryConfig, QueryPipeline
from tests.contexts import within
from tests.inline import Failing, Silent, ingest, inline_stages, open_corpus, question

FILES = {
    "ships.md": b"# Ships\n\nThe lighthouse keeper counts ships at dawn. A schooner has two masts.\n",
    "bread.md": b"# Bread\n\nRye bread rises overnight in a cool cellar. The oven is heated with beech wood.\n",
}
DOWN = [OverloadedError("s"), DeadlineExceededError("s", 1.0), StageUnavailableError("s"), InternalError("s")]


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    for name, content in FILES.items():
        await ingest(opened, name, content)
    yield opened
    opened.close()


async def events_of(pipeline: QueryPipeline, query: Query) -> list[Event]:
    return [event async for event in pipeline.answer(query, within(60))]


async def answer_of(corpus: Corpus, query: Query, **stages: object) -> Answered:
    pipeline = QueryPipeline(inline_stages(corpus, **stages), QueryConfig())
    last = (await events_of(pipeline, query))[-1]
    assert isinstance(last, Answered)
    return last


async def test_quotes_do_not_stand_in_for_an_answer_in_a_schema(corpus: Corpus) -> None:
    query = replace(question("oven"), sampling=SamplingOptions(response_schema={"type": "object"}))

    with pytest.raises(StageUnavailableError):
        await answer_of(corpus, query, generator=Failing(StageUnavailableError("generate")))


async def test_events_come_in_the_order_a_reader_needs(corpus: Corpus) -> None:
    pipeline = QueryPipeline(inline_stages(corpus), QueryConfig())

    events = await events_of(pipeline, question("What heats the oven?"))

    kinds = [type(event) for event in events]
    assert kinds[0] is PassagesFound
    assert kinds[-1] is Answered
    assert kinds.index(Cited) < kinds.index(TextGenerated)


async def test_the_answer_is_cited_to_the_characters_of_the_file(corpus: Corpus) -> None:
    answered = await answer_of(corpus, question("What is the oven heated with?"))

    citation = answered.citations[0]
    text = corpus.files.text("default", citation.passage.file_id)
    assert text[citation.start : citation.end] == citation.quote == "The oven is heated with beech wood."
    assert "beech wood. [1]" in answered.text


async def test_the_rerankers_order_decides(corpus: Corpus) -> None:
    answered = await answer_of(corpus, question("ships bread oven masts"))

    lengths = [len(passage.text) for passage in answered.passages]
    assert lengths == sorted(lengths)
    assert answered.trace.models["rerank"] == "shortest-first"


async def test_top_k_bounds_the_passages(corpus: Corpus) -> None:
    assert len((await answer_of(corpus, question("ships bread oven", top_k=1))).passages) == 1


@pytest.mark.parametrize("error", DOWN, ids=lambda error: error.code)
@pytest.mark.parametrize(
    ("stage", "degraded"),
    [
        ("embedder", "dense"),
        ("dense", "dense"),
        ("lexical", "lexical"),
        ("reranker", "rerank"),
        ("generator", "generate"),
    ],
)
async def test_an_answer_goes_without_a_stage_that_is_down_and_says_so(
    corpus: Corpus, stage: str, degraded: str, error: RagError
) -> None:
    answered = await answer_of(corpus, question("What is the oven heated with?"), **{stage: Failing(error)})

    assert answered.trace.degraded == [degraded]
    assert "beech wood" in answered.text


async def test_with_both_searches_down_there_is_no_answer(corpus: Corpus) -> None:
    with pytest.raises(OverloadedError):
        await answer_of(
            corpus,
            question("What is the oven heated with?"),
            dense=Failing(OverloadedError("dense")),
            lexical=Failing(StageUnavailableError("lexical")),
        )


async def test_a_generator_that_fails_in_mid_answer_is_an_error(corpus: Corpus) -> None:
    # What was sent cannot be taken back, so another model's answer cannot follow it.
    with pytest.raises(StageUnavailableError):
        await answer_of(corpus, question("oven"), generator=Failing(StageUnavailableError("generate"), num_deltas=1))


async def test_a_generator_that_does_not_begin_in_time_is_left_out(corpus: Corpus) -> None:
    stages = inline_stages(corpus, generator=Silent())
    pipeline = QueryPipeline(stages, QueryConfig(first_text_s=0.05))

    answered = (await events_of(pipeline, question("What is the oven heated with?")))[-1]

    assert isinstance(answered, Answered)
    assert answered.trace.degraded == ["generate"]
    assert "beech wood" in answered.text


async def test_a_mistake_of_the_callers_is_not_hidden_as_a_degraded_stage(corpus: Corpus) -> None:
    with pytest.raises(InvalidRequestError):
        await answer_of(corpus, question("oven"), generator=Failing(InvalidRequestError("too long")))


async def test_an_unknown_vector_store_is_not_found(corpus: Corpus) -> None:
    with pytest.raises(NotFoundError):
        await answer_of(corpus, replace(question("oven"), scope=Scope("default", ("vs_unknown",))))


async def test_an_empty_store_gives_an_answer_without_citations(tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path / "empty")

    answered = await answer_of(corpus, question("oven"))

    assert (answered.passages, answered.citations, answered.trace.degraded) == ((), (), [])
    assert answered.text
    corpus.close()


async def test_another_tenants_documents_are_never_found(corpus: Corpus) -> None:
    await ingest(corpus, "secret.md", b"# Secret\n\nThe oven of the other tenant burns peat.\n", tenant="other")

    ours = await answer_of(corpus, question("oven peat tenant", top_k=10))
    theirs = await answer_of(corpus, question("oven peat tenant", tenant="other", top_k=10))

    assert {passage.filename for passage in ours.passages} == set(FILES)
    assert {passage.filename for passage in theirs.passages} == {"secret.md"}


async def test_a_deleted_file_is_gone_from_the_next_answer(corpus: Corpus) -> None:
    stages = inline_stages(corpus)
    pipeline = QueryPipeline(stages, QueryConfig())
    await events_of(pipeline, question("oven"))
    (bread,) = (
        file.file_id for file in corpus.files.page("default", PageRequest()).items if file.filename == "bread.md"
    )

    corpus.files.delete("default", bread)

    last = (await events_of(pipeline, question("oven")))[-1]
    assert isinstance(last, Answered)
    assert "bread.md" not in {passage.filename for passage in last.passages}


MORE_FILES = {
    "oven.md": b"# Oven\n\nThe oven reaches its heat in two hours. Its door is cast iron.\n",
    "cellar.md": b"# Cellar\n\nThe cellar stays at eight degrees. Bread and oven tools are kept in it.\n",
    "wood.md": b"# Wood\n\nBeech wood dries for two years. The oven burns four logs an hour.\n",
}
QUESTIONS = ["What is the oven heated with?", "How many logs does the oven burn?", "Where is bread kept?", "beech wood"]


class Recording:
    """A generator that remembers the last request it was asked, and answers with the extractive model."""

    def __init__(self) -> None:
        self._generator = InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig()))
        self.request: GenerationRequest | None = None

    def stream(self, request: GenerationRequest, context: RequestContext) -> AsyncGenerator[GenerationDelta, None]:
        self.request = request
        return self._generator.stream(request, context)


async def test_answers_and_citations_do_not_depend_on_the_order_in_the_prompt(corpus: Corpus) -> None:
    for name, content in MORE_FILES.items():
        await ingest(corpus, name, content)
    recording = {order: Recording() for order in get_args(OrderName)}
    pipelines = {
        order: QueryPipeline(inline_stages(corpus, generator=generator), QueryConfig(passage_order=order))
        for order, generator in recording.items()
    }

    num_moved = 0
    for text in QUESTIONS * 2:
        by_relevance = (await events_of(pipelines["relevance"], question(text)))[-1]
        by_popularity = (await events_of(pipelines["popularity"], question(text)))[-1]

        assert isinstance(by_relevance, Answered)
        assert isinstance(by_popularity, Answered)
        assert by_popularity.text == by_relevance.text
        assert by_popularity.citations == by_relevance.citations
        assert by_popularity.passages == by_relevance.passages
        request = recording["popularity"].request
        assert request is not None
        assert tuple(request.passages[place] for place in request.best_first) == by_relevance.passages
        num_moved += request.passages != by_relevance.passages
    assert num_moved > 0


class CitingEach:
    """A generator that says each passage's first words and cites it, in the order of the prompt."""

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        for number, passage in enumerate(request.passages, 1):
            yield GenerationDelta(f"{passage.text[:40]} [{number}]. ")
        yield GenerationDelta("", "stop")


@pytest.mark.parametrize("order", get_args(OrderName))
async def test_a_marker_cites_the_passage_that_has_its_number_in_the_prompt(corpus: Corpus, order: OrderName) -> None:
    for name, content in MORE_FILES.items():
        await ingest(corpus, name, content)
    stages = inline_stages(corpus, generator=CitingEach())
    pipeline = QueryPipeline(stages, QueryConfig(passage_order=order))
    await events_of(pipeline, question("What is the oven heated with?", top_k=1))

    answered = (await events_of(pipeline, question("ships bread oven masts", top_k=5)))[-1]

    assert isinstance(answered, Answered)
    assert len(answered.citations) == len(answered.passages) == 5
    for citation in answered.citations:
        sentence = answered.text.split(f"[{citation.id}]")[0].split("]. ")[-1]
        assert citation.passage.text.startswith(sentence.strip())
