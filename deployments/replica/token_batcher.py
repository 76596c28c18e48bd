"""Batches by tokens, across calls: chooses the encodings of each forward pass.

Ray's `@serve.batch` cannot do this, even with `batch_size_fn`. It batches whole calls, first come first served: a
document of 10,000 chunks is either refused as too large, or goes ahead of every later query. It does not see the
lengths inside a call, mixes models, and ignores deadlines.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from functools import partial
from itertools import count
from typing import Any, TypeVar

from pydantic import Field

from deployments.autoscaling import WorkMeter
from deployments.replica.batched_call import Call, Encoder, Item, Keep, drop_output, forward
from deployments.replica.liveness import Liveness
from deployments.replica.pass_choice import PassBudget, first_in_order, of_similar_length, padded_tokens
from deployments.replica.user_config import StageConfig
from models.errors import DeadlineExceededError, OverloadedError
from models.tokens.encoding import Encoding
from models.types import Deadline

T = TypeVar("T")

LOOK_AHEAD = 4  # passes of tokens: a pass picks similar lengths among them, and a call queues at most this many
SHORT_PASS = 4  # a short pass has this fraction of the budget
SMALL_CALLS_S = 1.0  # after a small call, expect others for this time
# After a pass, wait up to GATHER of its time until ENOUGH of its number of items are queued for the next. With 32
# callers in a closed loop, queries of MiniLM and one core: 348 a second against 318 without.
GATHER, ENOUGH = 0.5, 0.4
TEXTS_AT_ONCE = 64  # of one call; in between the tokenising thread serves other calls
NEWEST_WEIGHT = 0.3  # of the last pass in the estimate of a token's time: a machine becomes busy within seconds


class TokenBatchedConfig(StageConfig):
    """The settings of a stage that batches by tokens."""

    max_batch_tokens: int = Field(
        default=2048,
        ge=64,
        le=2**20,
        description="Most tokens of one forward pass, padding included. A longer text gets a pass of its own.",
    )
    max_batch_size: int = Field(default=256, ge=1, le=8192, description="Most texts or pairs in one forward pass.")
    max_queued_tokens: int = Field(
        default=2**20, ge=64, le=2**32, description="Most waiting tokens; beyond it new calls get a 429."
    )


class TokenBatcher:
    """Runs encodings through models, one forward pass at a time, in a thread of its own. Belongs to one event loop.

    A pass has items of one model and of similar length, within the budget of padded tokens. An idle batcher starts at
    once. Under load, items gather during the running pass, and a moment longer after a large pass: see `_gather`.
    The call with the least remaining work goes first. Calls below a short pass go in order of arrival. The oldest call
    goes next when others have overtaken it by a short pass's tokens. While small calls come in, large calls get short
    passes. So a query waits for two passes at most, whatever is queued, and a document never waits without end.
    Source: Schrage, A Proof of the Optimality of the Shortest Remaining Processing Time Discipline, 1968.
    """

    def __init__(self, stage: str, config: TokenBatchedConfig) -> None:
        self._stage = stage
        self._config = config
        self._calls: list[Call] = []  # those with queued items
        self._numbers = count()
        self._overtaken_tokens = 0  # computed for other calls since the oldest call's last pass
        self._small_until = 0.0  # on the loop's clock
        self._worker: asyncio.Task[None] | None = None
        self._has_more = asyncio.Event()
        # One thread: forward passes queue here in order and never fight over the cores.
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{stage}-compute")
        self._tokenizing = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{stage}-tokenize")
        self.liveness = Liveness(stage)
        self.meter = WorkMeter()  # in tokens
        self._token_s = 0.0  # of a padded token in the last passes; 0 before the first
        self.num_unfinished = 0  # calls whose caller waits
        self.num_passes = 0
        self.num_tokens = 0
        self.num_padded_tokens = 0  # tokens and padding
        self.num_calls_in_passes = 0  # divided by num_passes: calls that share a pass

    def configure(self, config: TokenBatchedConfig) -> None:
        """Use these settings from the next pass on."""
        self._config = config

    @property
    def num_queued_tokens(self) -> int:
        return sum(item.num_tokens for call in self._calls for item in call.queued)

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
        self, model: Encoder, encodings: Sequence[Encoding], deadline: Deadline, keep: Keep = drop_output
    ) -> list[Any]:
        """An output for each encoding, in order. Raises as `run_parts` does.

        `keep` gets each output and its place as soon as it is computed, even if the caller has left by then.
        """
        call = Call(model, deadline, next(self._numbers), keep)
        await self._run(call, _parts(encodings))
        return call.outputs

    async def run_until(
        self, model: Encoder, encodings: Sequence[Encoding], deadline: Deadline, keep: Keep = drop_output
    ) -> list[Any | None]:
        """As `run`, but a deadline is no error: None is the output of an encoding that was not computed by then.

        If the time will not suffice for all, the first encodings are computed first, in short passes. So is the very
        first pass, which tells how long a token takes.
        """
        call = Call(model, deadline, next(self._numbers), keep, is_in_order=True)
        with suppress(DeadlineExceededError):
            await self._run(call, _parts(encodings))
        return [*call.outputs, *[None] * (len(encodings) - len(call.outputs))]

    async def run_parts(
        self, model: Encoder, parts: AsyncGenerator[Sequence[Encoding], None], deadline: Deadline
    ) -> list[Any]:
        """An output for each encoding, in order. The first parts are computed while the next are tokenised.

        Raises OverloadedError, DeadlineExceededError, or the model's error for one of these encodings.
        """
        call = Call(model, deadline, next(self._numbers))
        await self._run(call, parts)
        return call.outputs

    async def _run(self, call: Call, parts: AsyncGenerator[Sequence[Encoding], None]) -> None:
        budget_s = call.deadline.remaining_s()
        self.num_unfinished += 1
        try:
            async with asyncio.timeout(budget_s), aclosing(parts):
                async for encodings in parts:
                    self._add(call, encodings)
                    await call.until_missing(LOOK_AHEAD * self._config.max_batch_tokens)
                await call.until_missing(0)
        except TimeoutError:
            raise DeadlineExceededError(self._stage, budget_s) from None
        finally:
            call.is_over = True
            self.num_unfinished -= 1
            self.meter.left(call.num_tokens)
            self._drop_inactive()

    def close(self) -> None:
        """End the threads after their current work, and drop what is queued."""
        if self._worker is not None:
            self._worker.cancel()
        self._compute.shutdown(wait=False, cancel_futures=True)
        self._tokenizing.shutdown(wait=False, cancel_futures=True)

    def _add(self, call: Call, encodings: Sequence[Encoding]) -> None:
        is_new, num_queued = not call.outputs, self.num_queued_tokens
        self.meter.arrived(call.add(encodings))
        if is_new and num_queued and num_queued + call.num_tokens > self._config.max_queued_tokens:
            raise OverloadedError(self._stage)
        if call.queued and call not in self._calls:
            self._calls.append(call)
        self._has_more.set()
        loop = asyncio.get_running_loop()
        if not self._is_large(call):
            self._small_until = loop.time() + SMALL_CALLS_S
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())

    def _is_large(self, call: Call) -> bool:
        return call.num_tokens > self._config.max_batch_tokens

    @property
    def _short_pass(self) -> int:
        return self._config.max_batch_tokens // SHORT_PASS

    def _left(self, call: Call) -> tuple[int, int]:
        return max(self._short_pass, call.num_missing_tokens), call.number

    async def _work(self) -> None:
        while batch := self._next_pass():
            start = time.perf_counter()
            await self._run_pass(batch)
            await self._gather(len(batch), time.perf_counter() - start)

    async def _gather(self, num_answered: int, pass_s: float) -> None:
        """Wait a moment if few items are queued after a large pass: its callers may send their next call.

        Callers in a closed loop then form two halves with alternating passes, instead of one large pass and a small
        one of the few that missed it.
        """
        end = time.perf_counter() + GATHER * pass_s
        while self._num_queued < ENOUGH * num_answered and (left_s := end - time.perf_counter()) > 0:
            self._has_more.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._has_more.wait()

    @property
    def _num_queued(self) -> int:
        return sum(len(call.queued) for call in self._calls)

    def _next_pass(self) -> list[Item]:
        """Take the items of the next pass out of the queue; an empty list if nothing is queued."""
        self._drop_inactive()
        if not self._calls:
            return []
        first, oldest = min(self._calls, key=self._left), min(self._calls, key=_age)
        if self._overtaken_tokens >= self._short_pass:
            first = oldest
        batch = self._choose(first)
        self._overtaken_tokens = 0 if first is oldest else self._overtaken_tokens + padded_tokens(batch)
        taken = set(batch)
        for call in self._calls:
            call.queued = [item for item in call.queued if item not in taken]
        return batch

    def _drop_inactive(self) -> None:
        self._calls = [call for call in self._calls if call.queued and call.is_active]

    def _window(self, first: Call) -> list[Item]:
        """Items for the same model, LOOK_AHEAD passes of them: of `first`, then of the calls with the least left."""
        same_model = (call for call in self._calls if call.model == first.model and call is not first)
        items, num_tokens = list[Item](), 0
        for call in (first, *sorted(same_model, key=self._left)):
            items += call.queued
            num_tokens += sum(item.num_tokens for item in call.queued)
            if num_tokens >= LOOK_AHEAD * self._config.max_batch_tokens:
                break
        return items

    def _choose(self, first: Call) -> list[Item]:
        """A pass for the call that goes first, and for others if there is time."""
        most = self._config.max_batch_tokens
        tokens_in_time = first.deadline.remaining_s() / self._token_s if self._token_s else self._short_pass
        if first.is_in_order and (not self._token_s or first.num_missing_tokens > tokens_in_time):
            return first_in_order(first.queued, int(min(self._short_pass, tokens_in_time)), self._config.max_batch_size)
        most_of_large = self._short_pass if asyncio.get_running_loop().time() < self._small_until else most
        return of_similar_length(
            max(first.queued, key=_length),
            self._window(first),
            PassBudget(most, most_of_large, self._config.max_batch_size),
            lambda item: self._is_large(item.call),
        )

    async def _run_pass(self, batch: list[Item]) -> None:
        """Compute and deliver. A failed pass is halved until only the item that causes the error fails."""
        batch = [item for item in batch if item.call.is_active]
        if not batch:
            return
        self._count(batch)
        model, encodings = batch[0].call.model, [item.encoding for item in batch]
        start = time.perf_counter()
        try:
            with self.liveness.working():
                outputs = await asyncio.get_running_loop().run_in_executor(self._compute, forward, model, encodings)
        except Exception as error:  # noqa: BLE001, the error goes to the caller of the item that caused it
            if len(batch) == 1:
                batch[0].call.fail(error)
                return
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                await self._run_pass(half)
            return
        self._measure(batch, time.perf_counter() - start)
        for item, output in zip(batch, outputs, strict=True):
            item.call.settle(item, output)

    def _measure(self, batch: list[Item], pass_s: float) -> None:
        self.meter.worked(sum(item.num_tokens for item in batch), pass_s)
        newest, before = pass_s / padded_tokens(batch), self._token_s
        self._token_s = before + NEWEST_WEIGHT * (newest - before) if before else newest

    def _count(self, batch: list[Item]) -> None:
        self.num_passes += 1
        self.num_tokens += sum(item.num_tokens for item in batch)
        self.num_padded_tokens += padded_tokens(batch)
        self.num_calls_in_passes += len({item.call for item in batch})


def _age(call: Call) -> int:
    return call.number


def _length(item: Item) -> int:
    return item.num_tokens


async def _parts(encodings: Sequence[Encoding]) -> AsyncGenerator[Sequence[Encoding], None]:
    for start in range(0, len(encodings), TEXTS_AT_ONCE):
        yield encodings[start : start + TEXTS_AT_ONCE]
