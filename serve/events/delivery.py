"""Delivers the outbox: at least once, in the order of each document or store, by one replica at a time."""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from itertools import chain

from deployments.telemetry.metrics.events import EVENT_DELIVERIES, EVENTS_DROPPED, OUTBOX_AGE_SECONDS, OUTBOX_EVENTS
from models.corpus.outbox import Event, EventOrder, Outbox
from models.errors.storage import STORAGE_ERRORS
from serve.events.config import EventsConfig
from serve.events.sink import DeliveryError, EventSink, Outcome
from serve.pipelines.backoff import backoff_s

logger = logging.getLogger(__name__)

TRIM_EVERY_S = 10.0


class EventDelivery:
    """Delivers the events of every sink, each sink by itself. Any number of replicas may run at once."""

    def __init__(self, sinks: Sequence[EventSink], outbox: Outbox, config: EventsConfig) -> None:
        self._sinks, self._outbox, self._config = sinks, outbox, config

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for sink in self._sinks:
                    group.create_task(SinkDelivery(sink, self._outbox, self._config).run())
            if not self._sinks:
                await asyncio.Event().wait()
        finally:
            await asyncio.gather(*(sink.close() for sink in self._sinks))


class SinkDelivery:
    """Delivers the events of one sink while it has the lease, and waits when the sink takes none of them."""

    def __init__(self, sink: EventSink, outbox: Outbox, config: EventsConfig) -> None:
        self._sink, self._outbox, self._config = sink, outbox, config
        self._num_vain_rounds = 0
        self._trimmed_at = -TRIM_EVERY_S
        self._reason = ""  # of the last failure of storage

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self._trim()
                pause_s = await self.deliver_due()
                self._reason = ""
            except STORAGE_ERRORS as error:
                if str(error) != self._reason:  # a standby's database is read-only for weeks
                    logger.warning("events are delivered later: %s", error)
                self._reason, pause_s = str(error), self._config.poll_s
            await asyncio.sleep(pause_s)

    async def deliver_due(self) -> float:
        """Deliver until no event is due, and return the pause until the next look, in seconds.

        A receiver that takes no event of a round gets the next round after a pause that grows.
        """
        owner = f"events-{uuid.uuid4().hex}"
        name, order, longest_s = self._sink.name, self._sink.order, self._config.max_retry_s
        if not await asyncio.to_thread(self._outbox.claim, name, owner, self._config.lease_s, order, longest_s):
            return self._config.poll_s
        try:
            while events := await asyncio.to_thread(self._outbox.due, name, self._config.concurrency, order, longest_s):
                num_delivered = await self._deliver(owner, events)
                if num_delivered is None:
                    return self._config.poll_s
                if num_delivered == 0:
                    self._num_vain_rounds += 1
                    return backoff_s(self._config.retry_s, self._num_vain_rounds, self._config.max_retry_s)
                self._num_vain_rounds = 0
            return self._config.poll_s
        finally:
            await asyncio.shield(asyncio.to_thread(self._outbox.release, self._sink.name, owner))

    async def _deliver(self, owner: str, events: Sequence[Event]) -> int | None:
        """Send the events, and note the results. Return how many arrived, None if the lease was lost."""
        queues: dict[tuple[str, ...], list[Event]] = {}
        for event in events:
            queues.setdefault(_queue_of(event, self._sink.order), []).append(event)
        results = await asyncio.gather(*(self._send_in_order(queue) for queue in queues.values()))
        retry_s, longest_s = self._config.retry_s, self._config.max_retry_s
        delivered, pauses_s = list[int](), dict[int, float]()
        for event, outcome in chain.from_iterable(results):
            if outcome == "delivered":
                delivered.append(event.event_key)
            else:
                pauses_s[event.event_key] = backoff_s(retry_s, event.attempts + 1, longest_s)
        settle, name, lease_s = self._outbox.settle, self._sink.name, self._config.lease_s
        is_owner = await asyncio.to_thread(settle, name, owner, delivered, pauses_s, lease_s)
        return len(delivered) if is_owner else None

    async def _send_in_order(self, events: Sequence[Event]) -> list[tuple[Event, Outcome]]:
        """Send one after the other. After a failure, the later ones wait for the next round."""
        results = list[tuple[Event, Outcome]]()
        for event in events:
            results.append((event, await self._send(event)))
            if results[-1][1] != "delivered":
                break
        return results

    async def _send(self, event: Event) -> Outcome:
        outcome: Outcome = "delivered"
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._sink.send(event)
        except TimeoutError:
            outcome = "timeout"
        except DeliveryError as error:
            outcome = error.outcome
            logger.warning("event %s was not delivered: %s", event.event_id, error)
        EVENT_DELIVERIES.labels(self._sink.name, outcome).inc()
        return outcome

    async def _trim(self) -> None:
        """Drop what is too old or too much, and count what waits."""
        if time.monotonic() - self._trimmed_at < TRIM_EVERY_S:
            return
        self._trimmed_at, name, config = time.monotonic(), self._sink.name, self._config
        dropped = await asyncio.to_thread(self._outbox.trim, name, config.max_events, config.max_age_s)
        for reason, count in dropped.items():
            EVENTS_DROPPED.labels(name, reason).inc(count)
            if count:
                logger.error("%d events for %s were dropped: %s", count, name, reason)
        size = await asyncio.to_thread(self._outbox.size, name)
        age_s = 0.0 if size.oldest_at is None else max(0.0, self._outbox.clock() - size.oldest_at)
        OUTBOX_EVENTS.labels(name).set(size.num_events)
        OUTBOX_AGE_SECONDS.labels(name).set(age_s)


def _queue_of(event: Event, order: EventOrder) -> tuple[str, ...]:
    """Events of one queue are sent one after the other."""
    store = (event.tenant, event.vector_store_id)
    return store if order == "store" else (*store, event.file_id)
