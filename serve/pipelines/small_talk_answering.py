"""Greetings and thanks: they are answered without a search."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from models.generation.declining import GREETING, THANKS, SmallTalk, small_talk
from models.types import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, PassagesFound, Query, TextGenerated
from serve.pipelines.trace import Trace

_REPLIES: dict[SmallTalk, str] = {"greeting": GREETING, "thanks": THANKS}


class SmallTalkAnswering:
    """Replies to a message that only greets or thanks. Every other message goes on."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        kind = small_talk(query.text)
        events = self._answering.answer(query, context) if kind is None else _reply(_REPLIES[kind])
        async with aclosing(events):
            async for event in events:
                yield event


async def _reply(text: str) -> AsyncGenerator[Event, None]:
    trace = Trace()
    yield PassagesFound(())
    yield TextGenerated(text)
    trace.timings_s["total"] = trace.elapsed_s()
    yield Answered(text, (), (), "stop", 0, 0, trace, evidence=0.0, answerable=False)
