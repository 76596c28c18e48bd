"""What a stage's batches leave in the metrics."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from deployments.replica.message_batcher import MessageBatcher
from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.user_config import TokenBatchedConfig
from deployments.telemetry.metrics import FirstNames
from models.deadline import Deadline
from models.errors import DeadlineExceededError, OverloadedError
from models.tokens.encoding import Encoding


class Lengths:
    """A model whose output is the number of tokens."""

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        return [len(encoding) for encoding in batch]


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
    calls = [batcher.run(Lengths(), encodings(60), Deadline.after(60)) for _ in range(4)]
    results = await asyncio.gather(*calls, return_exceptions=True)

    num_refused = sum(isinstance(result, OverloadedError) for result in results)
    assert num_refused
    assert value("dropped_total", "probe-drop", reason="overloaded") == num_refused
    assert value("dropped_total", "probe-drop", reason="deadline_exceeded") == 1
    assert value("dropped_total", "probe-drop", reason="cancelled") == 0
    batcher.close()


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
