"""A stage's client: deadlines in, our errors out, and work cancelled at the replica when its caller leaves."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

from prometheus_client import Histogram
from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError

from deployments.calls.coalescer import AS_SHIPPED, Coalescer, CoalescingConfig, value_of
from deployments.calls.envelope import Envelope, longest_budget_s
from deployments.calls.handle import Handle
from deployments.telemetry import metrics
from deployments.telemetry.logs import ids_of
from models.errors import (
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    RagError,
    StageUnavailableError,
)
from models.stage_status import StageStatus
from models.types import RequestContext

logger = logging.getLogger(__name__)


class StageClient:
    """Calls one stage's replicas. Every call has a deadline, and is cancelled at the replica when its caller leaves.

    Every typed client (EmbedderClient, …) uses `call`, `shared_call` and `stream_call`.
    """

    def __init__(self, handle: Handle, stage: str, coalescing: CoalescingConfig = AS_SHIPPED) -> None:
        self.stage = stage
        self._handle = handle
        self._seconds: dict[str, Histogram] = {}  # by outcome
        self._coalescing = coalescing
        self._coalescers: dict[str, Coalescer] = {}  # by method

    async def call(self, method: str, *args: object, context: RequestContext) -> Any:
        """The replica's answer.

        Raises the replica's RagError, OverloadedError, DeadlineExceededError, StageUnavailableError, or InternalError
        for a bug.
        """
        with self._observed():
            return await self._call(method, args, (Envelope.of(context),))

    async def shared_call(self, method: str, item: object, context: RequestContext) -> Any:
        """As `call`, in one message with the concurrent calls of the method; alone to an inline replica, which batches.

        The replica's method takes the items and an Envelope for each, and returns an answer for each: a RagError in
        the place of an item that fails alone.
        """
        if self._handle.is_inline:
            with self._observed():
                return value_of(await self._send(method, [item], [Envelope.of(context)]), self.stage)
        if method not in self._coalescers:
            send = partial(self._send, method)
            self._coalescers[method] = Coalescer(send, self._coalescing, self.stage)
        with self._observed():
            return await self._coalescers[method].call(item, context)

    async def _send(self, method: str, items: list[Any], envelopes: list[Envelope]) -> Sequence[Any]:
        return await self._call(method, (items, envelopes), envelopes)

    async def _call(self, method: str, args: tuple[object, ...], envelopes: Sequence[Envelope]) -> Any:
        """The answer to a message of requests, which is late when all of them are."""
        budget_s = longest_budget_s(envelopes)
        response = self._handle.call(method, *args)
        try:
            async with asyncio.timeout(budget_s):
                return await response
        except (TimeoutError, asyncio.CancelledError) as error:
            # Ray does not cancel the replica when our await times out or is cancelled.
            self._handle.cancel(response)
            raise self._translated(error, envelopes) from None
        except Exception as error:  # noqa: BLE001, whatever a replica raised arrives here
            raise self._translated(error, envelopes) from None

    async def stream_call(self, method: str, *args: object, context: RequestContext) -> AsyncGenerator[Any, None]:
        """The replica's items as they come. Closing the stream cancels the replica's work."""
        with self._observed():
            async with aclosing(self._stream(method, args, context)) as items:
                async for item in items:
                    yield item

    async def _stream(
        self, method: str, args: tuple[object, ...], context: RequestContext
    ) -> AsyncGenerator[Any, None]:
        envelopes = (Envelope.of(context),)
        response = self._handle.stream(method, *args)
        try:
            # A timeout for each item: a timeout must not span a yield, whose consumer may be another task.
            while True:
                async with asyncio.timeout(context.remaining_s()):
                    item = await anext(response)
                yield item
        except StopAsyncIteration:
            return
        except (GeneratorExit, TimeoutError, asyncio.CancelledError) as error:
            self._handle.cancel(response)
            raise self._translated(error, envelopes) from None
        except Exception as error:  # noqa: BLE001, whatever a replica raised arrives here
            raise self._translated(error, envelopes) from None

    async def status(self, context: RequestContext) -> StageStatus:
        """The status of a replica. Raises RagError if none answers."""
        return await self.call("status", context=context)

    @contextmanager
    def _observed(self) -> Iterator[None]:
        """Time the block, and count it under its outcome."""
        start, outcome = time.perf_counter(), "ok"
        try:
            yield
        except RagError as error:
            outcome = error.code
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        finally:
            if outcome not in self._seconds:
                self._seconds[outcome] = metrics.STAGE_SECONDS.labels(self.stage, outcome)
            self._seconds[outcome].observe(time.perf_counter() - start)

    def _translated(self, error: BaseException, envelopes: Sequence[Envelope]) -> BaseException:
        match error:
            case RayTaskError() if isinstance(error.cause, RagError):
                return error.cause
            case RagError() | GeneratorExit():
                return error
            case TimeoutError():
                return DeadlineExceededError(self.stage, longest_budget_s(envelopes))
            case asyncio.CancelledError() | RequestCancelledError() | TaskCancelledError():
                return asyncio.CancelledError()
            case BackPressureError():
                return OverloadedError(self.stage)
            case RayActorError() | DeploymentUnavailableError():
                return StageUnavailableError(self.stage)
        self._log(error, envelopes)
        return InternalError(self.stage)

    def _log(self, error: BaseException, envelopes: Sequence[Envelope]) -> None:
        # The remote traceback, pid and address belong in our log and nowhere else.
        # Our own frames between here and the replica say nothing.
        logger.error("stage %s failed", self.stage, exc_info=error.with_traceback(None), extra=ids_of(envelopes))
