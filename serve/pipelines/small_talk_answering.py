"""Greetings and thanks: they are answered without a search."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from models.answer_form import AUTO
from models.generation.small_talk import SmallTalk, small_talk, small_talk_language
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.trace import Trace


class SmallTalkAnswering:
    """Replies to a message that only greets or thanks, in its language. Every other message goes on.

    With functions every message does: the model may have to call one.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        kind = None if query.functions else small_talk(query.text)
        events = self._answering.answer(query, context) if kind is None else _reply(kind, query)
        async with aclosing(events):
            async for event in events:
                yield event


async def _reply(kind: SmallTalk, query: Query) -> AsyncGenerator[Event, None]:
    is_open = query.form.language in (None, AUTO)
    form = replace(query.form, language=small_talk_language(query.text)) if is_open else query.form
    trace, text = Trace(), query.prompts.refusal(kind, form, query.text)
    yield PassagesFound(())
    yield TextGenerated(text)
    trace.timings_s["total"] = trace.elapsed_s()
    prompt = query.prompts.name
    yield Answered(text, (), (), "stop", 0, 0, trace, evidence=0.0, answerable=False, prompt=prompt, is_small_talk=True)
