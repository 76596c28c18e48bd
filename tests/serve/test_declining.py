"""Without evidence an answer says so; greetings and thanks are not searched."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.answer_form import AnswerForm
from models.corpus.corpus import Corpus
from models.errors.stages import StageUnavailableError
from models.prompts.library import default_prompts
from serve.pipelines.answering import Answered, Answering, Query
from serve.pipelines.declining_generation import DecliningGeneration
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.small_talk_answering import SmallTalkAnswering
from serve.pipelines.weighed_retrieval import WeighedRetrieval
from tests.contexts import within
from tests.inline import Failing, ingest, inline_stages, open_corpus, question

GREETING, NOT_IN_DOCUMENTS = (
    default_prompts().refusal(name, AnswerForm(), "Why?") for name in ("greeting", "not_in_documents")
)
OFF_TOPIC = question("Which composer wrote the opera Fidelio?")
ON_TOPIC = question("What is the kiln fired with?")


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    await ingest(opened, "kiln.md", b"# Kiln\n\nThe kiln is fired with dry alder. It holds ninety pots.\n")
    yield opened
    opened.close()


def answering(corpus: Corpus, min_evidence: float | None = None, **stages: object) -> Answering:
    """The query path with the gate; with a threshold of its own on request."""
    parts = inline_stages(corpus, **stages)
    config = QueryConfig() if min_evidence is None else QueryConfig(min_evidence=min_evidence)
    generator = DecliningGeneration(parts.generator, config.min_evidence)
    return QueryPipeline(QueryStages(WeighedRetrieval(parts.retrieval), generator, parts.fallback), config)


async def answer_of(path: Answering, query: Query) -> Answered:
    last = [event async for event in path.answer(query, within(60))][-1]
    assert isinstance(last, Answered)
    return last


async def test_a_question_that_the_documents_answer_is_answered(corpus: Corpus) -> None:
    answered = await answer_of(answering(corpus), ON_TOPIC)

    assert answered.answerable
    assert answered.evidence is not None
    assert answered.evidence >= QueryConfig().min_evidence
    assert [citation.quote for citation in answered.citations][:1] == ["The kiln is fired with dry alder."]


async def test_another_question_is_declined_with_the_nearest_passages_and_no_citation(corpus: Corpus) -> None:
    answered = await answer_of(answering(corpus), OFF_TOPIC)

    assert not answered.answerable
    assert answered.text == NOT_IN_DOCUMENTS
    assert (answered.citations, answered.markers) == ((), ())
    assert [passage.filename for passage in answered.passages] == ["kiln.md"]
    assert "generate" not in answered.trace.models


async def test_no_model_is_asked_for_a_declined_answer(corpus: Corpus) -> None:
    down = Failing(StageUnavailableError("generate"))

    answered = await answer_of(answering(corpus, generator=down, fallback=down), OFF_TOPIC)

    assert (answered.text, answered.trace.degraded) == (NOT_IN_DOCUMENTS, [])


async def test_a_threshold_of_zero_answers_everything(corpus: Corpus) -> None:
    answered = await answer_of(answering(corpus, min_evidence=0), OFF_TOPIC)

    assert answered.citations
    assert answered.answerable


async def test_an_empty_store_answers_nothing(tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path)

    answered = await answer_of(answering(corpus), ON_TOPIC)

    assert (answered.evidence, answered.answerable) == (0.0, False)
    corpus.close()


async def test_a_greeting_is_answered_without_a_search(corpus: Corpus) -> None:
    down = Failing(StageUnavailableError("dense"))
    path = SmallTalkAnswering(answering(corpus, dense=down, lexical=down))

    greeted = await answer_of(path, replace(question("Hello there!")))

    assert (greeted.text, greeted.passages, greeted.answerable) == (GREETING, (), False)
    with pytest.raises(StageUnavailableError):
        await answer_of(path, ON_TOPIC)
