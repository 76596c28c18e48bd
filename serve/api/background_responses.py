"""Responses that are written in the background: their tasks, which live as long as the process, and their events."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from models.errors.base import RagError
from models.errors.limits import OverloadedError

Key = tuple[str, str]  # tenant and response
WATCH_S = 1.0  # between two looks at what another process has cancelled

logger = logging.getLogger(__name__)


class EventFeed:
    """The events of a response that is being written, for any number of readers, from any event on."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._has_ended = False
        self._changed = asyncio.Condition()

    async def add(self, events: Sequence[dict[str, Any]]) -> None:
        async with self._changed:
            self._events += events
            self._changed.notify_all()

    async def end(self) -> None:
        async with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    async def read(self) -> AsyncGenerator[dict[str, Any], None]:
        """All events, those to come as well."""
        num_read = 0
        while True:
            async with self._changed:
                while not self._has_ended and len(self._events) == num_read:
                    await self._changed.wait()
            if num_read == len(self._events):
                return
            for event in self._events[num_read:]:
                num_read += 1
                yield event


class BackgroundResponses:
    """Owns the tasks, by tenant and response. `close` cancels them."""

    def __init__(self) -> None:
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._feeds: dict[Key, EventFeed] = {}
        self._starting: Counter[str] = Counter()  # by tenant: what has a place and no task yet
        self._watcher: asyncio.Task[None] | None = None

    @contextmanager
    def place(self, tenant: str, max_tasks: int) -> Iterator[None]:
        """A place for a response that is started inside, where it is stored first.

        Raises OverloadedError if `max_tasks` are being written. A tenant below its share of these gets a place all the
        same, so that no other one's work refuses it: there are twice as many at most.
        """
        tenants = Counter(key[0].partition("/")[0] for key in self._tasks) + self._starting
        has_share = tenants[tenant] >= max(1, max_tasks // len(tenants | Counter([tenant])))
        if tenants.total() >= (max_tasks if has_share else 2 * max_tasks):
            raise OverloadedError("background")
        self._starting[tenant] += 1
        try:
            yield
        finally:
            self._starting[tenant] -= 1

    def start(
        self,
        key: Key,
        work: Coroutine[Any, Any, None],
        unfinished: Callable[[Sequence[Key]], set[Key]],
        feed: EventFeed | None = None,
    ) -> None:
        """Begin to write. `unfinished` reads which responses are still in progress; it blocks."""
        if feed is not None:
            self._feeds[key] = feed
        task = self._tasks[key] = asyncio.create_task(self._worked(key, work))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch(unfinished))

    def feed(self, tenant: str, response_id: str) -> EventFeed | None:
        """The events of a response that this process writes, if it is streamed."""
        return self._feeds.get((tenant, response_id))

    def cancel(self, tenant: str, response_id: str) -> None:
        """Stop the work. Another process sees in the database that its response is cancelled or deleted."""
        if task := self._tasks.get((tenant, response_id)):
            task.cancel()

    async def close(self) -> None:
        tasks = [*self._tasks.values(), *filter(None, [self._watcher])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _worked(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            if feed := self._feeds.pop(key, None):
                await feed.end()

    async def _watch(self, unfinished: Callable[[Sequence[Key]], set[Key]]) -> None:
        """Cancel what another process has cancelled, as long as anything is written."""
        while self._tasks:
            await asyncio.sleep(WATCH_S)
            keys = list(self._tasks)
            try:
                running = await asyncio.to_thread(unfinished, keys)
            except RagError as error:
                logger.warning("the responses in the background were not looked at: %s", error)
                continue
            for key in set(keys) - running:
                self.cancel(*key)
