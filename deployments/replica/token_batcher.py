"""Batches by tokens, across calls: chooses the encodings of each forward pass.

Ray's `@serve.batch` cannot do this, even with `batch_size_fn`. It batches whole calls, first come first served: a
document of 10,000 chunks is either refused as too large, or goes ahead of every later query. It does not see the
lengths inside a call, mixes models, and ignores deadlines.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from typing import Any, TypeVar

from deployments.replica.batched_call import Call, Encoder, Keep, drop_output
from deployments.replica.fair_shares import NO_FLOW, Flow
from deployments.replica.liveness import Liveness
from deployments.replica.pass_lane import PassLane, StageMeasures
from deployments.replica.user_config import TokenBatchedConfig
from deployments.telemetry.stage_metrics import StageMetrics
from models.compute import passes_at_once
from models.deadline import Deadline
from models.errors.stages import DeadlineExceededError
from models.tokens.encoding import Encoding

T = TypeVar("T")

TEXTS_AT_ONCE = 64  # of one call; in between the tokenising thread serves other calls


class TokenBatcher:
    """Runs encodings through models in forward passes, in threads of their own. Belongs to one event loop.

    A pass has items of one model and of similar length, within the budget of padded tokens. Each tenant gets the same
    share of the tokens (FairShares). Of a tenant, the call with the least remaining work goes first. Calls below a
    short pass go in order of arrival. The oldest call goes next when others have overtaken it by a short pass's tokens.
    While small calls come in, large calls get short passes. So a query waits for two passes at most, whatever is
    queued, and a document never waits without end.
    Source: Schrage, A Proof of the Optimality of the Shortest Remaining Processing Time Discipline, 1968.

    Documents of background calls have a lane of their own, if the model computes in the calling thread: a query then
    waits for no document's pass, and gets a core before it.
    """

    def __init__(self, stage: str, config: TokenBatchedConfig) -> None:
        self._stage = stage
        self._numbers = count()
        self.liveness = Liveness(stage)
        self._metrics = StageMetrics(stage)
        measures = StageMeasures(stage, self.liveness, self._metrics)
        self.meter, self.counts = measures.meter, measures.counts
        self._questions = PassLane(measures, config)
        self._documents = PassLane(measures, config, for_documents=True)
        self._tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{stage}-tokenize")
        self.num_unfinished = 0  # calls whose caller waits

    def configure(self, config: TokenBatchedConfig) -> None:
        """Use these settings from the next pass on."""
        for lane in self._lanes:
            lane.configure(config)

    @property
    def num_queued_tokens(self) -> int:
        return sum(lane.num_queued_tokens for lane in self._lanes)

    @property
    def _lanes(self) -> tuple[PassLane, PassLane]:
        return self._questions, self._documents

    async def tokenize(self, function: Callable[..., T], *args: Any) -> T:
        """The function's result, computed in the tokenising thread, which does not wait for forward passes."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, partial(function, *args))

    async def tokenize_all(
        self, function: Callable[[Sequence[T]], list[Encoding]], texts: Sequence[T]
    ) -> AsyncGenerator[list[Encoding], None]:
        """The encodings of `texts`, TEXTS_AT_ONCE at a time, so that other callers' texts get in between."""
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            yield await self.tokenize(function, texts[start : start + TEXTS_AT_ONCE])

    async def run(
        self,
        model: Encoder,
        encodings: Sequence[Encoding],
        deadline: Deadline,
        keep: Keep = drop_output,
        flow: Flow = NO_FLOW,
    ) -> list[Any]:
        """An output for each encoding, in order. Raises as `run_parts` does.

        `keep` gets each output and its place as soon as it is computed, even if the caller has left by then.
        """
        call = Call(model, deadline, next(self._numbers), keep, flow=flow)
        await self._run(call, _parts(encodings), self._questions)
        return call.outputs

    async def run_until(
        self,
        model: Encoder,
        encodings: Sequence[Encoding],
        deadline: Deadline,
        keep: Keep = drop_output,
        flow: Flow = NO_FLOW,
    ) -> list[Any | None]:
        """As `run`, but a deadline is no error: None is the output of an encoding that was not computed by then.

        If the time will not suffice for all, the first encodings are computed first, in short passes. So is the very
        first pass, which tells how long a token takes.
        """
        call = Call(model, deadline, next(self._numbers), keep, is_in_order=True, flow=flow)
        with suppress(DeadlineExceededError):
            await self._run(call, _parts(encodings), self._questions)
        return [*call.outputs, *[None] * (len(encodings) - len(call.outputs))]

    async def run_parts(
        self,
        model: Encoder,
        parts: AsyncGenerator[Sequence[Encoding], None],
        deadline: Deadline,
        flow: Flow = NO_FLOW,
    ) -> list[Any]:
        """An output for each encoding, in order. The first parts are computed while the next are tokenised.

        Nobody waits for the documents of a background flow. Raises OverloadedError, DeadlineExceededError, or the
        model's error for one of these encodings.
        """
        call = Call(model, deadline, next(self._numbers), flow=flow)
        is_apart = flow.is_background and passes_at_once(model) is not None
        await self._run(call, parts, self._documents if is_apart else self._questions)
        return call.outputs

    async def _run(self, call: Call, parts: AsyncGenerator[Sequence[Encoding], None], lane: PassLane) -> None:
        budget_s = call.deadline.remaining_s()
        self.num_unfinished += 1
        self._metrics.arrived()
        try:
            with self._metrics.counting_drops():
                await self._compute(call, parts, lane, budget_s)
        except TimeoutError:
            raise DeadlineExceededError(self._stage, budget_s) from None
        finally:
            call.is_over = True
            if not call.has_begun:
                self._metrics.left()
            self.num_unfinished -= 1
            self.meter.left(call.num_tokens)
            lane.drop_inactive()

    async def _compute(
        self, call: Call, parts: AsyncGenerator[Sequence[Encoding], None], lane: PassLane, budget_s: float
    ) -> None:
        async with asyncio.timeout(budget_s), aclosing(parts):
            async for encodings in parts:
                lane.add(call, encodings)
                await call.until_missing(lane.max_queued_of_call)
            await call.until_missing(0)

    def close(self) -> None:
        """End the threads after their current work, and drop what is queued."""
        for lane in self._lanes:
            lane.close()
        self._tokenizing.shutdown(wait=False, cancel_futures=True)


async def _parts(encodings: Sequence[Encoding]) -> AsyncGenerator[Sequence[Encoding], None]:
    for start in range(0, len(encodings), TEXTS_AT_ONCE):
        yield encodings[start : start + TEXTS_AT_ONCE]
