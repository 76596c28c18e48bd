"""The calls of one kind, questions or documents, and the forward passes that compute them."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from deployments.autoscaling import WorkMeter
from deployments.replica.batched_call import Call, Item, forward
from deployments.replica.fair_shares import FairShares, Flow
from deployments.replica.liveness import Liveness
from deployments.replica.pass_choice import PassBudget, first_in_order, of_similar_length, padded_tokens
from deployments.replica.user_config import TokenBatchedConfig
from deployments.telemetry.stage_metrics import StageMetrics
from models.compute import passes_at_once
from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelUnavailableError
from models.errors.stages import DeadlineExceededError
from models.remote.origin import joint_origin
from models.tokens.encoding import Encoding

LOOK_AHEAD = 4  # passes of tokens: a pass picks similar lengths among them, and a call queues at most this many
SHORT_PASS = 4  # a short pass has this fraction of the budget
SMALL_CALLS_S = 1.0  # after a small call, expect others for this time
# After a pass, wait up to GATHER of its time until ENOUGH of its number of items are queued for the next. With 32
# callers in a closed loop, queries of MiniLM and one core: 348 a second against 318 without.
GATHER, ENOUGH = 0.5, 0.4
NEWEST_WEIGHT = 0.3  # of the last pass in the estimate of a token's time: a machine becomes busy within seconds
MAX_PASSES = 64  # at once, in a lane
# More niceness than the process has: a thread of a question gets three times as much of a core as one of a document. So
# does another process, and even then ingestion goes on.
DOCUMENT_NICENESS = 5
MAX_NICENESS = 19
# A server that fails is not asked again for each item.
NO_ITEMS_FAULT = (DeadlineExceededError, ModelUnavailableError, OverloadedError)


@dataclass
class PassCounts:
    """What the passes of a stage have had so far."""

    num_passes: int = 0
    num_tokens: int = 0
    num_padded_tokens: int = 0  # tokens and padding
    num_calls: int = 0  # divided by num_passes: calls that share a pass

    def add(self, batch: list[Item]) -> None:
        self.num_passes += 1
        self.num_tokens += sum(item.num_tokens for item in batch)
        self.num_padded_tokens += padded_tokens(batch)
        self.num_calls += len({item.call for item in batch})


@dataclass(frozen=True)
class StageMeasures:
    """What the lanes of a stage measure together."""

    stage: str
    liveness: Liveness
    metrics: StageMetrics
    meter: WorkMeter = field(default_factory=WorkMeter)  # in tokens
    counts: PassCounts = field(default_factory=PassCounts)


class PassLane:
    """Chooses the encodings of each pass, and runs as many passes at once as the model can. Belongs to one event loop.

    An idle lane starts at once. Under load, items gather during the running passes, and a moment longer after a large
    pass (`_gather`). A lane for documents, whose callers can wait, has nicer threads and no short passes.
    """

    def __init__(self, measures: StageMeasures, config: TokenBatchedConfig, for_documents: bool = False) -> None:
        self._measures = measures
        self._for_documents = for_documents
        self._config = config
        self._calls: list[Call] = []  # those with queued items
        self._shares = FairShares()  # of tokens
        self._overtaken: dict[Flow, int] = {}  # tokens for other calls of the flow since its oldest call's last pass
        self._small_until = 0.0  # on the loop's clock
        self._workers = set[asyncio.Task[None]]()
        self._num_working = 0  # workers that will look for another pass
        self._most_at_once = 1  # passes, of the model of the last call
        self._num_running = 0  # passes
        self._num_gathering = 0  # workers that wait for more items
        self._has_more = asyncio.Event()
        # A thread a pass: forward passes queue here in order and never fight over the cores.
        self._compute = ThreadPoolExecutor(MAX_PASSES, f"{measures.stage}-compute", _be_nice if for_documents else None)
        self._token_s = 0.0  # of a padded token in the last passes; 0 before the first

    def configure(self, config: TokenBatchedConfig) -> None:
        """Use these settings from the next pass on."""
        self._config = config

    @property
    def num_queued_tokens(self) -> int:
        return sum(item.num_tokens for call in self._calls for item in call.queued)

    @property
    def max_queued_of_call(self) -> int:
        """Tokens of one call. Further encodings wait outside."""
        return LOOK_AHEAD * self._config.max_batch_tokens

    def add(self, call: Call, encodings: Sequence[Encoding]) -> None:
        """Queue more encodings of the call. Raises OverloadedError for a new call if the queue is full."""
        is_new, num_queued = not call.outputs, self.num_queued_tokens
        self._measures.meter.arrived(call.add(encodings))
        if is_new and num_queued and num_queued + call.num_tokens > self._config.max_queued_tokens:
            self._check_share(call)
        if call.queued and call not in self._calls:
            self._calls.append(call)
        self._has_more.set()
        loop = asyncio.get_running_loop()
        if self._is_urgent(call):
            self._small_until = loop.time() + SMALL_CALLS_S
        self._most_at_once = passes_at_once(call.model) or 1
        if not self._num_gathering:  # else one of the workers goes on at once
            self._start_workers(len(call.queued))

    def _check_share(self, call: Call) -> None:
        """Raises OverloadedError, in a full queue, unless the tenant has less than its share of it."""
        tenants = {call.flow.tenant, *(other.flow.tenant for other in self._calls)}
        num_queued = sum(
            item.num_tokens for other in self._calls if other.flow.tenant == call.flow.tenant for item in other.queued
        )
        if num_queued and num_queued + call.num_tokens > self._config.max_queued_tokens // len(tenants):
            raise OverloadedError(self._measures.stage)

    def _start_workers(self, num_items: int) -> None:
        while self._num_working < min(self._most_at_once, num_items):
            self._num_working += 1
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def drop_inactive(self) -> None:
        """Drop what is queued of calls that have left, failed or run out of time."""
        self._calls = [call for call in self._calls if call.queued and call.is_active]

    def close(self) -> None:
        """End the threads after their current work, and drop what is queued."""
        for worker in self._workers:
            worker.cancel()
        self._compute.shutdown(wait=False, cancel_futures=True)

    def _is_large(self, call: Call) -> bool:
        return call.num_tokens > self._config.max_batch_tokens

    def _is_urgent(self, call: Call) -> bool:
        """Whether a caller waits, and may send its next call soon after this one."""
        return not self._for_documents and not self._is_large(call)

    @property
    def _short_pass(self) -> int:
        return self._config.max_batch_tokens // SHORT_PASS

    def _left(self, call: Call) -> tuple[int, int]:
        return max(self._short_pass, call.num_missing_tokens), call.number

    async def _work(self) -> None:
        try:
            while batch := self._next_pass():
                start = time.perf_counter()
                self._num_running += 1
                try:
                    await self._run_pass(batch)
                finally:
                    self._num_running -= 1
                num_urgent = sum(self._is_urgent(item.call) for item in batch)
                await self._gather(num_urgent, time.perf_counter() - start)
        finally:
            self._num_working -= 1

    async def _gather(self, num_answered: int, pass_s: float) -> None:
        """Wait a moment if few items are queued after a large pass: its callers may send their next call.

        Callers in a closed loop then form two halves with alternating passes, instead of one large pass and a small
        one of the few that missed it.
        """
        end = time.perf_counter() + GATHER * pass_s
        self._num_gathering += 1
        try:
            while self._num_queued < ENOUGH * num_answered and (left_s := end - time.perf_counter()) > 0:
                self._has_more.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._has_more.wait()
        finally:
            self._num_gathering -= 1

    @property
    def _num_queued(self) -> int:
        return sum(len(call.queued) for call in self._calls)

    def _next_pass(self) -> list[Item]:
        """Take the items of the next pass out of the queue; an empty list if nothing is queued."""
        self.drop_inactive()
        if not self._calls:
            self._shares.forget()
            self._overtaken.clear()
            return []
        flow, calls = self._next_flow()
        first, oldest = min(calls, key=self._left), min(calls, key=_age)
        overtaken = self._overtaken.get(flow, 0)
        if overtaken >= self._short_pass:
            first = oldest
        is_shared = len(calls) < len(self._calls)
        batch = self._choose(first, is_shared)
        self._overtaken[flow] = 0 if first is oldest else overtaken + padded_tokens(batch)
        self._charge(batch, is_shared)
        taken = set(batch)
        for call in self._calls:
            call.queued = [item for item in call.queued if item not in taken]
        return batch

    def _next_flow(self) -> tuple[Flow, list[Call]]:
        """The flow whose turn it is, and its calls."""
        flows = dict.fromkeys(call.flow for call in self._calls)
        if len(flows) == 1:
            (flow,) = flows
            calls = self._calls
        else:
            flow = self._shares.next_of(flows)
            calls = [call for call in self._calls if call.flow == flow]
        self._shares.begin(flow)
        if len(self._overtaken) > 2 * len(flows):
            self._overtaken = {each: tokens for each, tokens in self._overtaken.items() if each in flows}
        return flow, calls

    def _charge(self, batch: list[Item], is_shared: bool) -> None:
        """Count the tokens of the pass; only one that `is_shared` can have items of several flows."""
        if is_shared:
            for item in batch:
                self._shares.charge(item.call.flow, item.num_tokens)
        else:
            self._shares.charge(batch[0].call.flow, sum(item.num_tokens for item in batch))

    def _window(self, first: Call, is_shared: bool) -> list[Item]:
        """Items for the same model, LOOK_AHEAD passes of them: of `first`, then of the calls with the least left.

        Those of the flow with the smallest share so far come first.
        """
        same_model = (call for call in self._calls if call.model == first.model and call is not first)
        items, num_tokens = list[Item](), 0
        for call in (first, *sorted(same_model, key=self._share_and_left if is_shared else self._left)):
            items += call.queued
            num_tokens += sum(item.num_tokens for item in call.queued)
            if num_tokens >= LOOK_AHEAD * self._config.max_batch_tokens:
                break
        return items

    def _share_and_left(self, call: Call) -> tuple[float, int, int]:
        return self._shares.start_of(call.flow), *self._left(call)

    @property
    def _most_tokens(self) -> int:
        """Of the next pass. If few tokens are queued, the passes that run at once share them."""
        most, num_idle = self._config.max_batch_tokens, self._most_at_once - self._num_running
        return min(most, max(self._short_pass, self.num_queued_tokens // num_idle)) if num_idle > 1 else most

    def _choose(self, first: Call, is_shared: bool) -> list[Item]:
        """A pass for the call that goes first, and for others if there is time; `is_shared`: of several flows."""
        most = self._most_tokens
        tokens_in_time = first.deadline.remaining_s() / self._token_s if self._token_s else self._short_pass
        if first.is_in_order and (not self._token_s or first.num_missing_tokens > tokens_in_time):
            return first_in_order(first.queued, int(min(self._short_pass, tokens_in_time)), self._config.max_batch_size)
        most_of_large = self._short_pass if asyncio.get_running_loop().time() < self._small_until else most
        return of_similar_length(
            max(first.queued, key=_length),
            self._window(first, is_shared),
            PassBudget(most, most_of_large, self._config.max_batch_size),
            lambda item: self._is_large(item.call),
            (lambda item: item.call.flow != first.flow) if is_shared else None,
        )

    async def _run_pass(self, batch: list[Item]) -> None:
        """Compute and deliver. A failed pass is halved until only the item that causes the error fails."""
        batch = [item for item in batch if item.call.is_active]
        if not batch:
            return
        self._measures.counts.add(batch)
        model, encodings = batch[0].call.model, [item.encoding for item in batch]
        start = time.perf_counter()
        self._note_begun(batch, start)
        try:
            with self._measures.liveness.working():
                origin = joint_origin([item.call.origin for item in batch])
                loop = asyncio.get_running_loop()
                outputs = await loop.run_in_executor(self._compute, forward, origin, model, encodings)
        except Exception as error:  # noqa: BLE001, the error goes to the caller of the item that caused it
            if len(batch) == 1 or isinstance(error, NO_ITEMS_FAULT):
                for call in {item.call for item in batch}:
                    call.fail(error)
                return
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                await self._run_pass(half)
            return
        self._measure(batch, time.perf_counter() - start)
        for item, output in zip(batch, outputs, strict=True):
            item.call.settle(item, output)

    def _note_begun(self, batch: list[Item], start: float) -> None:
        for call in {item.call for item in batch if not item.call.has_begun}:
            call.has_begun = True
            self._measures.metrics.waited(start - call.arrived_at)

    def _measure(self, batch: list[Item], pass_s: float) -> None:
        num_tokens, num_padded = sum(item.num_tokens for item in batch), padded_tokens(batch)
        self._measures.metrics.computed(len(batch), pass_s)
        self._measures.metrics.read(num_tokens, num_padded - num_tokens)
        # Passes that ran beside this one had the time too.
        self._measures.meter.worked(num_tokens, pass_s / self._num_working)
        newest, before = pass_s / num_padded, self._token_s
        self._token_s = before + NEWEST_WEIGHT * (newest - before) if before else newest


def _age(call: Call) -> int:
    return call.number


def _length(item: Item) -> int:
    return item.num_tokens


def _be_nice() -> None:
    """Raise the niceness of the calling thread: on Linux each thread has its own."""
    niceness = min(MAX_NICENESS, os.getpriority(os.PRIO_PROCESS, 0) + DOCUMENT_NICENESS)
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
