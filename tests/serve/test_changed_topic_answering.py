"""A question about another topic than the one before it is answered as if it were asked alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.corpus.corpus import Corpus
from models.types.generation import ChatMessage
from models.types.scope import Scope
from serve.pipelines.answering import Answered, Answering, PassagesFound, Query
from serve.pipelines.changed_topic_answering import ChangedTopicAnswering
from serve.pipelines.declining_generation import DecliningGeneration
from serve.pipelines.follow_up_answering import FollowUpAnswering
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.weighed_retrieval import WeighedRetrieval
from tests.contexts import within
from tests.inline import ingest, inline_stages, open_corpus

FERRY = "Which weekday does the municipal library lend blue bicycles, helmets, pumps and lanterns to young visitors?"
KILN = "How many pots does the kiln hold?"


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    await ingest(opened, "kiln.md", b"# Kiln\n\nThe kiln is fired with dry alder. The kiln can hold ninety pots.\n")
    yield opened
    opened.close()


def answering(corpus: Corpus) -> Answering:
    parts, config = inline_stages(corpus), QueryConfig(min_evidence=0.6, decline=True)
    generator = DecliningGeneration(parts.generator, config.min_evidence)
    pipeline = QueryPipeline(QueryStages(WeighedRetrieval(parts.retrieval), generator, parts.fallback), config)
    return FollowUpAnswering(ChangedTopicAnswering(pipeline, config.total_s))


def conversation(*questions: str) -> Query:
    turns = [
        ChatMessage(role, text) for text in questions for role, text in (("user", text), ("assistant", "So it is."))
    ]
    return Query(tuple(turns[:-1]), Scope("default", ("default",)), 5)


async def answer_of(path: Answering, query: Query) -> Answered:
    events = [event async for event in path.answer(query, within(60))]
    assert [type(event) for event in events].count(PassagesFound) == 1
    assert isinstance(events[-1], Answered)
    return events[-1]


@pytest.mark.parametrize("earlier", [[FERRY], [FERRY] * 20])
async def test_a_new_topic_is_searched_alone(corpus: Corpus, earlier: list[str]) -> None:
    answered = await answer_of(answering(corpus), conversation(*earlier, KILN))

    assert (answered.answerable, answered.search_query) == (True, KILN)
    assert answered.citations[0].quote == "The kiln can hold ninety pots."
    assert answered.trace.timings_s["total"] >= answered.trace.timings_s["first_text"]


async def test_a_follow_up_that_has_an_answer_is_searched_once(corpus: Corpus) -> None:
    answered = await answer_of(answering(corpus), conversation("What is the kiln fired with?", KILN))

    assert answered.search_query == f"{KILN} fired"


@pytest.mark.parametrize("question", ["And how many pots does it hold?", "Does the kiln hold them?", "The kiln?"])
async def test_a_question_that_needs_the_conversation_is_never_searched_alone(corpus: Corpus, question: str) -> None:
    answered = await answer_of(answering(corpus), conversation(FERRY, question))

    assert not answered.answerable
    assert answered.search_query.startswith(f"{question} weekday")


async def test_without_an_answer_either_way_the_first_search_is_shown(corpus: Corpus) -> None:
    question = "Which composer wrote the opera Fidelio?"

    answered = await answer_of(answering(corpus), conversation(FERRY, question))

    assert not answered.answerable
    assert answered.search_query.startswith(f"{question} weekday")
