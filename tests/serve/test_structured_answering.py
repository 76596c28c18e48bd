"""A JSON answer comes with the citations of its fields, streamed and stored alike."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.corpus.corpus import Corpus
from models.types.generation import GenerationDelta, GenerationRequest, SamplingOptions
from models.types.request_context import RequestContext
from serve.caching.codec import decode_events, encode_events
from serve.pipelines.answering import Answered, Cited, Event, Query, TextGenerated
from serve.pipelines.query import QueryConfig, QueryPipeline
from serve.pipelines.structured_answering import StructuredAnswering
from tests.contexts import within
from tests.inline import ingest, inline_stages, open_corpus, question

JSON = '{"fuel": "dry alder [1]", "pots": [90, 91], "owner": null}'
ASKED = question("What is the kiln fired with?")
STRUCTURED = replace(ASKED, sampling=SamplingOptions(response_schema={"type": "object"}))


class Typist:
    """A language model that writes one JSON text, character by character; it has no markers."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        marks = () if request.sampling.response_schema is not None else None
        for character in self._text:
            yield GenerationDelta(character, model="typist", marks=marks)
        yield GenerationDelta("", "stop", 9, 9, model="typist", marks=marks)


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    await ingest(opened, "kiln.md", b"The kiln is fired with dry alder. It holds 90 pots.\n")
    yield opened
    opened.close()


async def events_of(corpus: Corpus, query: Query, text: str = JSON) -> list[Event]:
    path = StructuredAnswering(QueryPipeline(inline_stages(corpus, generator=Typist(text)), QueryConfig()))
    return [event async for event in path.answer(query, within(60))]


async def test_the_text_is_the_models_and_the_fields_are_cited(corpus: Corpus) -> None:
    events = await events_of(corpus, STRUCTURED)

    answered = events[-1]
    assert isinstance(answered, Answered)
    assert answered.text == JSON
    assert answered.markers == ()
    assert [(field.pointer, field.citation_ids, field.is_supported) for field in answered.fields] == [
        ("/fuel", (1,), True),
        ("/pots/0", (2,), True),
        ("/pots/1", (), False),
        ("/owner", (), True),
    ]
    assert [citation.quote for citation in answered.citations] == [
        "The kiln is fired with dry alder.",
        "It holds 90 pots.",
    ]


async def test_a_stream_has_them_at_its_end(corpus: Corpus) -> None:
    events = await events_of(corpus, STRUCTURED)

    kinds = [type(event) for event in events]
    assert kinds[-3:] == [Cited, Cited, Answered]
    assert "".join(event.text for event in events if isinstance(event, TextGenerated)) == JSON


async def test_a_cache_keeps_them(corpus: Corpus) -> None:
    events = await events_of(corpus, STRUCTURED)

    restored = decode_events(encode_events(events))[-1]

    assert isinstance(restored, Answered)
    assert restored.fields == events[-1].fields  # type: ignore[union-attr]
    assert restored.citations == events[-1].citations  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ['{"fuel": "dry al', "", "Sorry."])
async def test_a_text_that_is_no_json_has_no_fields(corpus: Corpus, text: str) -> None:
    answered = (await events_of(corpus, STRUCTURED, text))[-1]

    assert isinstance(answered, Answered)
    assert (answered.text, answered.fields, answered.citations) == (text, (), ())


async def test_other_answers_pass_as_they_are(corpus: Corpus) -> None:
    answered = (await events_of(corpus, ASKED, "Dry alder [1]."))[-1]

    assert isinstance(answered, Answered)
    assert (answered.fields, len(answered.citations)) == ((), 1)
