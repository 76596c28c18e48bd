"""Lanes of passes: several passes at once, and documents that delay no question."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence

import numpy as np
import pytest

from deployments.replica.fair_shares import Flow
from deployments.replica.pass_lane import DOCUMENT_NICENESS, MAX_NICENESS
from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.user_config import TokenBatchedConfig
from models.deadline import Deadline
from models.tokens.encoding import Encoding
from tests.patience import PATIENCE_S

DOCUMENT, QUESTION = 40, 4  # tokens


class Gated:
    """A model that computes in the calling thread. The passes of documents wait for `gate`."""

    def __init__(self, passes_at_once: int | None) -> None:
        self.passes_at_once = passes_at_once
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)  # released by each pass of documents
        self.niceness: dict[int, int] = {}  # of the thread of the last pass, by the tokens of its items

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        num_tokens = len(batch[0])
        self.niceness[num_tokens] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        if num_tokens == DOCUMENT:
            self.begun.release()
            assert self.gate.wait(PATIENCE_S)
        return [num_tokens] * len(batch)

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_S)


@pytest.fixture
def batcher() -> Iterator[TokenBatcher]:
    made = TokenBatcher("embed", TokenBatchedConfig(max_batch_tokens=64))
    yield made
    made.close()


def encoding(num_tokens: int) -> Encoding:
    return Encoding(np.zeros(num_tokens, np.int32))


def embed_documents(batcher: TokenBatcher, model: Gated, number: int) -> "asyncio.Task[list[int]]":
    """A background call; each document needs a pass of its own."""

    async def parts() -> AsyncGenerator[Sequence[Encoding], None]:
        yield [encoding(DOCUMENT)] * number

    return asyncio.create_task(batcher.run_parts(model, parts(), Deadline.after(PATIENCE_S), Flow(is_background=True)))


async def test_a_question_waits_for_no_document(batcher: TokenBatcher) -> None:
    model = Gated(passes_at_once=1)
    documents = embed_documents(batcher, model, 1)
    await model.until_begun()

    assert await batcher.run(model, [encoding(QUESTION)], Deadline.after(PATIENCE_S)) == [QUESTION]

    assert not documents.done()
    model.gate.set()
    assert await documents == [DOCUMENT]
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert model.niceness == {QUESTION: usual, DOCUMENT: min(MAX_NICENESS, usual + DOCUMENT_NICENESS)}


async def test_a_model_computes_as_many_passes_at_once_as_it_can(batcher: TokenBatcher) -> None:
    model = Gated(passes_at_once=2)
    documents = embed_documents(batcher, model, 3)

    await model.until_begun()
    await model.until_begun()

    assert not model.begun.acquire(blocking=False)  # the third waits
    model.gate.set()
    assert await documents == [DOCUMENT] * 3
    assert batcher.counts.num_passes == 3


async def test_passes_at_once_share_a_call(batcher: TokenBatcher) -> None:
    model = Gated(passes_at_once=2)
    batcher.configure(TokenBatchedConfig(max_batch_tokens=1024))
    documents = embed_documents(batcher, model, 20)

    await model.until_begun()
    await model.until_begun()

    assert batcher.counts.num_tokens == 20 * DOCUMENT
    assert batcher.counts.num_passes == 2
    model.gate.set()
    await documents


async def test_a_model_with_threads_of_its_own_gets_one_pass_at_a_time(batcher: TokenBatcher) -> None:
    model = Gated(passes_at_once=None)
    documents = embed_documents(batcher, model, 2)
    await model.until_begun()

    question = asyncio.create_task(batcher.run(model, [encoding(QUESTION)], Deadline.after(PATIENCE_S)))
    await asyncio.sleep(0)

    assert batcher.counts.num_passes == 1
    model.gate.set()
    assert await asyncio.gather(documents, question) == [[DOCUMENT] * 2, [QUESTION]]


async def test_full_questions_leave_room_for_documents_and_back(batcher: TokenBatcher) -> None:
    batcher.configure(TokenBatchedConfig(max_batch_tokens=64, max_queued_tokens=64))
    model = Gated(passes_at_once=1)
    documents = embed_documents(batcher, model, 4)
    await model.until_begun()

    assert await batcher.run(model, [encoding(QUESTION)], Deadline.after(PATIENCE_S)) == [QUESTION]

    model.gate.set()
    await documents
