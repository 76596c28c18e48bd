"""Hands each whole answer to those who watch quality."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query


@dataclass(frozen=True)
class WatchedAnswer:
    """A question, its answer, and when it was answered, in Unix seconds."""

    request_id: str
    query: Query
    answered: Answered
    at_s: float

    @property
    def tenant(self) -> str:
        return self.query.scope.tenant


class AnswerObserver(Protocol):
    def observe(self, answer: WatchedAnswer) -> None:
        """Take note of an answer. Called in the request's path: it must not block, and not raise."""


class WatchedAnswering:
    """Shows each whole answer to its observers. It changes no event."""

    def __init__(self, answering: Answering, observers: Sequence[AnswerObserver]) -> None:
        self._answering, self._observers = answering, observers

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                if isinstance(event, Answered):
                    watched = WatchedAnswer(context.request_id, query, event, time.time())
                    for observer in self._observers:
                        observer.observe(watched)
                yield event
