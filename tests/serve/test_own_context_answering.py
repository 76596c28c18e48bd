"""A prompt with its own context is answered from it where the model quotes, whatever the documents have."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.answer_form import AnswerForm
from models.corpus.corpus import Corpus
from models.prompts.library import default_prompts
from models.types.generation import ChatMessage
from serve.pipelines.answering import Answered, Query
from serve.pipelines.own_context_answering import OwnContextAnswering
from serve.pipelines.query import QueryConfig, QueryPipeline
from tests.contexts import within
from tests.inline import ingest, inline_stages, open_corpus, question

NOT_IN_CONTEXT = default_prompts().refusal("not_in_context", AnswerForm(), "Why?")
RULES = "You answer questions. Use the following context in your response:"
CONTEXT = "The sluice opens at seven. Its gate is made of larch."
ASKED = replace(question("When does the sluice open?"), names_documents=False)
WITH_CONTEXT = replace(ASKED, messages=(ChatMessage("system", f"{RULES}\n\n{CONTEXT}"), *ASKED.messages))


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    await ingest(opened, "sluice.md", b"The sluice opens at nine, says the document.\n")
    yield opened
    opened.close()


async def ask(corpus: Corpus, query: Query, alias: str | None = "extractive") -> Answered:
    async def serving_alias() -> str | None:
        return alias

    stages = inline_stages(corpus)
    answering = OwnContextAnswering(
        QueryPipeline(stages, QueryConfig()),
        QueryConfig(),
        stages.generator,
        (serving_alias, lambda name: name == "extractive"),
    )
    last = [event async for event in answering.answer(query, within(60))][-1]
    assert isinstance(last, Answered)
    return last


async def test_it_is_quoted_and_cited_as_prompt(corpus: Corpus) -> None:
    answered = await ask(corpus, WITH_CONTEXT)

    assert answered.answerable
    assert answered.text.startswith("The sluice opens at seven. [1]")
    assert {citation.passage.filename for citation in answered.citations} == {"prompt"}


async def test_a_context_without_the_answer_is_declined(corpus: Corpus) -> None:
    off_topic = replace(WITH_CONTEXT, messages=(WITH_CONTEXT.messages[0], ChatMessage("user", "Who painted Guernica?")))

    answered = await ask(corpus, off_topic)

    assert (answered.text, answered.citations, answered.answerable) == (NOT_IN_CONTEXT, (), False)


async def test_a_standalone_question_is_made_and_nothing_is_searched(corpus: Corpus) -> None:
    turns = [ChatMessage("user", "Where is the sluice?"), ChatMessage("assistant", "By the mill.")]
    system = ChatMessage("system", "Formulate a standalone question from the chat history.")

    answered = await ask(corpus, replace(ASKED, messages=(system, *turns, ChatMessage("user", "When does it open?"))))

    assert (answered.text, answered.passages) == ("When does it open? sluice", ())


@pytest.mark.parametrize(
    ("query", "alias"),
    [
        (ASKED, "extractive"),
        (replace(WITH_CONTEXT, names_documents=True), "extractive"),
        (WITH_CONTEXT, "writer"),
        (WITH_CONTEXT, None),
    ],
    ids=["no context", "named documents", "language model", "unknown model"],
)
async def test_other_requests_are_answered_from_documents(corpus: Corpus, query: Query, alias: str | None) -> None:
    assert "at nine" in (await ask(corpus, query, alias)).text
