"""Sentences of a generated answer that no passage supports: marked, and with `grounded: strict` left out."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.answer_form import AnswerForm
from models.corpus.corpus import Corpus
from models.prompts.library import default_prompts
from models.types.generation import GenerationDelta, GenerationRequest, SamplingOptions
from models.types.request_context import RequestContext
from serve.caching.codec import decode_events, encode_events
from serve.pipelines.answering import Answered, Answering, Event, Query, TextGenerated
from serve.pipelines.grounded_answering import GroundedAnswering
from serve.pipelines.grounded_generation import MAX_HELD_CHARS, GroundedGeneration
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from tests.contexts import within
from tests.inline import ingest, inline_stages, open_corpus, question

ASKED = question("What is the kiln fired with?")
STRICT = replace(ASKED, grounded="strict")
TRUE, FALSE, LAST = (
    "The kiln is fired with dry alder [1].",
    "Camels cross deserts at night [1].",
    "It holds ninety pots [1].",
)
ANSWER = f"{TRUE} {FALSE}\n\n{LAST}"
NOTHING_SUPPORTED = default_prompts().refusal("nothing_supported", AnswerForm(), "Why?")


class Writer:
    """A language model whose text is fixed, sent in pieces of `size` characters."""

    def __init__(self, text: str, size: int = 7) -> None:
        self._text, self._size = text, size

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        for start in range(0, len(self._text), self._size):
            yield GenerationDelta(self._text[start : start + self._size], model="writer")
        yield GenerationDelta("", "stop", 20, 9, model="writer")


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    await ingest(opened, "kiln.md", b"# Kiln\n\nThe kiln is fired with dry alder. It holds ninety pots.\n")
    yield opened
    opened.close()


def answering(corpus: Corpus, text: str | None = ANSWER, size: int = 7) -> Answering:
    """The query path with a writer of `text`, or with the extractive model."""
    parts = inline_stages(corpus, **({} if text is None else {"generator": Writer(text, size)}))
    stages = QueryStages(parts.retrieval, GroundedGeneration(parts.generator), parts.fallback)
    return GroundedAnswering(QueryPipeline(stages, QueryConfig()), lambda model: model == "extractive")


async def events_of(path: Answering, query: Query) -> list[Event]:
    return [event async for event in path.answer(query, within(60))]


async def answer_of(path: Answering, query: Query) -> Answered:
    last = (await events_of(path, query))[-1]
    assert isinstance(last, Answered)
    return last


async def test_an_unsupported_sentence_is_marked_and_stays(corpus: Corpus) -> None:
    answered = await answer_of(answering(corpus), ASKED)

    [marked] = answered.unsupported
    assert "Camels cross deserts at night [1]." in answered.text
    assert marked.text == "Camels cross deserts at night."
    assert answered.text[marked.start : marked.end] == "Camels cross deserts at night [1]."


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_strict_leaves_it_out_of_the_stream_with_its_citation(corpus: Corpus, size: int) -> None:
    events = await events_of(answering(corpus, size=size), STRICT)

    text = "".join(event.text for event in events if isinstance(event, TextGenerated))
    answered = events[-1]
    assert isinstance(answered, Answered)
    assert "Camels" not in text
    assert text == answered.text == f"{TRUE}\n\n{LAST.replace('[1]', '[2]')}"
    assert [citation.quote for citation in answered.citations] == [
        "The kiln is fired with dry alder.",
        "It holds ninety pots.",
    ]
    assert [(each.text, each.start) for each in answered.unsupported] == [("Camels cross deserts at night.", None)]
    assert (answered.num_prompt_tokens, answered.finish_reason) == (20, "stop")


async def test_a_first_sentence_that_is_left_out_leaves_no_space(corpus: Corpus) -> None:
    answered = await answer_of(answering(corpus, f"{FALSE} {TRUE}\n"), STRICT)

    assert answered.text.strip() == TRUE
    assert not answered.text.startswith(" ")


async def test_an_answer_without_a_supported_sentence_says_so(corpus: Corpus) -> None:
    answered = await answer_of(answering(corpus, FALSE), STRICT)

    assert (answered.text, answered.citations) == (NOTHING_SUPPORTED, ())
    assert len(answered.unsupported) == 1


async def test_text_without_an_end_is_checked_in_pieces(corpus: Corpus) -> None:
    endless = "camel " * MAX_HELD_CHARS

    answered = await answer_of(answering(corpus, endless, size=600), STRICT)

    assert answered.text == NOTHING_SUPPORTED
    assert len(answered.unsupported) > 1


async def test_quotes_are_the_same_with_strict(corpus: Corpus) -> None:
    plain = await answer_of(answering(corpus, None), ASKED)
    strict = await answer_of(answering(corpus, None), STRICT)

    assert (strict.text, strict.citations, strict.unsupported) == (plain.text, plain.citations, ())


async def test_json_is_not_marked(corpus: Corpus) -> None:
    json = replace(ASKED, sampling=SamplingOptions(response_schema={"type": "object"}))

    assert (await answer_of(answering(corpus, '{"camels": 3}'), json)).unsupported == ()


async def test_a_cache_keeps_the_marks(corpus: Corpus) -> None:
    events = await events_of(answering(corpus), ASKED)

    restored = decode_events(encode_events(events))[-1]

    assert isinstance(restored, Answered)
    assert restored.unsupported == events[-1].unsupported  # type: ignore[union-attr]
