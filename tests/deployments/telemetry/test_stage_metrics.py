"""What a stage's batches leave in the metrics."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from deployments.replica.message_batcher import MessageBatcher
from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.user_config import TokenBatchedConfig
from deployments.telemetry.metrics.tenants import FirstNames
from models.deadline import Deadline
from models.errors.limits import OverloadedError
from models.errors.stages import DeadlineExceededError
from models.tokens.encoding import Encoding
from tests.patience import PATIENCE_S


class Lengths:
    """A model whose output is the number of tokens."""

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        return [len(encoding) for encoding in batch]


class Held(Lengths):
    """A model whose passes end when they may."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        self.has_begun.set()
        self.may_end.wait(PATIENCE_S)
        return super().forward(batch)


def encodings(*lengths: int) -> list[Encoding]:
    return [Encoding(tuple(range(length))) for length in lengths]


def value(name: str, stage: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"ragserve_stage_{name}", {"stage": stage, **labels}) or 0.0


async def test_a_pass_has_its_size_its_tokens_and_its_padding() -> None:
    batcher = TokenBatcher("probe-pass", TokenBatchedConfig())

    assert await batcher.run(Lengths(), encodings(10, 8, 9), Deadline.after(60)) == [10, 8, 9]

    assert (value("batch_size_count", "probe-pass"), value("batch_size_sum", "probe-pass")) == (1, 3)
    assert value("tokens_total", "probe-pass") == 27
    assert value("padding_tokens_total", "probe-pass") == 3
    assert value("queue_seconds_count", "probe-pass") == 1
    assert value("compute_seconds_count", "probe-pass") == 1
    batcher.close()


async def test_what_a_stage_does_not_finish_is_counted_by_its_reason() -> None:
    batcher = TokenBatcher("probe-drop", TokenBatchedConfig(max_queued_tokens=64))

    with pytest.raises(DeadlineExceededError):
        await batcher.run(Lengths(), encodings(10), Deadline.after(0))
    assert value("waiting_calls", "probe-drop") == 0
    calls = [batcher.run(Lengths(), encodings(60), Deadline.after(60)) for _ in range(4)]
    results = await asyncio.gather(*calls, return_exceptions=True)

    num_refused = sum(isinstance(result, OverloadedError) for result in results)
    assert num_refused
    assert value("dropped_total", "probe-drop", reason="overloaded") == num_refused
    assert value("dropped_total", "probe-drop", reason="deadline_exceeded") == 1
    assert value("dropped_total", "probe-drop", reason="cancelled") == 0
    batcher.close()


async def test_a_call_waits_until_its_first_pass_begins_or_its_caller_leaves() -> None:
    batcher, model = TokenBatcher("probe-wait", TokenBatchedConfig(max_batch_size=1)), Held()
    calls = [asyncio.create_task(batcher.run(model, encodings(9), Deadline.after(600))) for _ in range(3)]
    await asyncio.to_thread(model.has_begun.wait, PATIENCE_S)
    num_waiting = value("waiting_calls", "probe-wait")

    calls[2].cancel()
    await asyncio.wait(calls[2:])
    num_after_one_left = value("waiting_calls", "probe-wait")
    model.may_end.set()
    await asyncio.gather(*calls[:2])

    assert (num_waiting, num_after_one_left, value("waiting_calls", "probe-wait")) == (2, 1, 0)
    assert value("queue_seconds_count", "probe-wait") == 2
    batcher.close()


async def test_a_message_waits_while_the_batch_before_it_is_computed() -> None:
    may_end = asyncio.Event()

    async def answer_all(messages: list[list[int]]) -> list[list[int]]:
        await may_end.wait()
        return messages

    batcher = MessageBatcher(answer_all, "probe-queue")
    calls = [asyncio.create_task(batcher.answers([1]))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # its batch begins in the second turn of the loop
    calls += [asyncio.create_task(batcher.answers([number])) for number in (2, 3)]
    await asyncio.sleep(0)
    num_waiting = value("waiting_calls", "probe-queue")

    calls[2].cancel()
    await asyncio.wait(calls[2:])
    num_after_one_left = value("waiting_calls", "probe-queue")
    may_end.set()
    await asyncio.gather(*calls[:2])

    assert (num_waiting, num_after_one_left, value("waiting_calls", "probe-queue")) == (2, 1, 0)


async def test_a_batch_of_messages_counts_their_requests() -> None:
    async def answer_all(messages: list[list[int]]) -> list[list[int]]:
        return messages

    batcher = MessageBatcher(answer_all, "probe-messages")

    await asyncio.gather(batcher.answers([1, 2]), batcher.answers([3]))

    assert value("batch_size_sum", "probe-messages") == 3
    assert value("queue_seconds_count", "probe-messages") == 2
    assert value("compute_seconds_count", "probe-messages") == value("batch_size_count", "probe-messages")


def test_a_label_has_as_many_names_as_its_limit_and_other() -> None:
    names = FirstNames(2)

    assert [names.label(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
