"""Batching by tokens: who shares a forward pass, whose turn it is, and what becomes of those that fail or leave."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.user_config import TokenBatchedConfig
from models.deadline import Deadline
from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelUnavailableError
from models.errors.stages import DeadlineExceededError
from models.tokens.encoding import Encoding
from tests.patience import PATIENCE_S

BAD = -1


class Summing:
    """Adds up the ids of an encoding. Passes wait at the gate while it is closed; an encoding that begins BAD fails."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []  # the first id of each encoding
        self.padded_tokens: list[int] = []
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        self.passes.append([int(encoding.ids[0]) for encoding in batch])
        self.padded_tokens.append(len(batch) * max(map(len, batch)))
        self.begun.set()
        assert self.gate.wait(PATIENCE_S)
        if any(encoding.ids[0] == BAD for encoding in batch):
            raise ValueError("a bad encoding")
        return [int(encoding.ids.sum()) for encoding in batch]

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, PATIENCE_S)


@pytest.fixture
def model() -> Summing:
    return Summing()


@pytest.fixture
def batchers() -> Iterator[list[TokenBatcher]]:
    made: list[TokenBatcher] = []
    yield made
    for batcher in made:
        batcher.close()


@pytest.fixture
def batcher(batchers: list[TokenBatcher]) -> TokenBatcher:
    return with_knobs(batchers, max_batch_tokens=64)


def with_knobs(batchers: list[TokenBatcher], **knobs: int) -> TokenBatcher:
    batchers.append(TokenBatcher("embed", TokenBatchedConfig(**knobs)))
    return batchers[-1]


def encoding(first: int, num_tokens: int = 4) -> Encoding:
    """Its sum is `first`."""
    return Encoding(np.array([first] + [0] * (num_tokens - 1), np.int32))


def soon() -> Deadline:
    return Deadline.after(PATIENCE_S)


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def start(batcher: TokenBatcher, model: Summing, *encodings: Encoding) -> asyncio.Task[list[Any]]:
    """A call that has been queued."""
    call = asyncio.create_task(batcher.run(model, encodings, soon()))
    await turns()
    return call


async def occupy(batcher: TokenBatcher, model: Summing) -> asyncio.Task[list[Any]]:
    """A call whose pass stays in progress until the gate opens."""
    model.gate.clear()
    call = await start(batcher, model, encoding(0))
    await model.until_begun()
    return call


async def test_outputs_come_in_order_whatever_the_lengths(batcher: TokenBatcher, model: Summing) -> None:
    encodings = [encoding(number, num_tokens) for number, num_tokens in enumerate((3, 40, 1, 17, 64, 5, 30, 2))]

    assert await batcher.run(model, encodings, soon()) == list(range(8))
    assert len(model.passes) > 1


async def test_a_call_without_encodings_needs_no_pass(batcher: TokenBatcher, model: Summing) -> None:
    assert await batcher.run(model, [], soon()) == []
    assert model.passes == []


async def test_an_idle_batcher_waits_for_nobody(batcher: TokenBatcher, model: Summing) -> None:
    assert await batcher.run(model, [encoding(1)], soon()) == [1]
    assert await batcher.run(model, [encoding(2)], soon()) == [2]
    assert model.passes == [[1], [2]]


async def test_calls_that_come_during_a_pass_share_the_next(batcher: TokenBatcher, model: Summing) -> None:
    first = await occupy(batcher, model)
    later = [await start(batcher, model, encoding(number)) for number in (1, 2, 3)]

    model.gate.set()

    assert await asyncio.gather(first, *later) == [[0], [1], [2], [3]]
    assert model.passes == [[0], [1, 2, 3]]
    assert (batcher.counts.num_passes, batcher.counts.num_calls) == (2, 4)


async def test_a_pass_stays_within_its_tokens_with_their_padding(batcher: TokenBatcher, model: Summing) -> None:
    lengths = np.random.default_rng(1).integers(1, 64, 200)

    await asyncio.gather(*(batcher.run(model, [encoding(0, length)], soon()) for length in lengths))

    assert max(model.padded_tokens) <= 64
    assert batcher.counts.num_tokens == lengths.sum()
    assert batcher.counts.num_padded_tokens == sum(model.padded_tokens)


async def test_a_pass_stays_within_its_number_of_items(batchers: list[TokenBatcher], model: Summing) -> None:
    batcher = with_knobs(batchers, max_batch_size=3)

    await batcher.run(model, [encoding(number) for number in range(8)], soon())

    assert [len(numbers) for numbers in model.passes] == [3, 3, 2]


async def test_an_item_longer_than_the_budget_goes_alone(batcher: TokenBatcher, model: Summing) -> None:
    assert await batcher.run(model, [encoding(1, 60), encoding(2, 500), encoding(3, 4)], soon()) == [1, 2, 3]
    assert [2] in model.passes


async def test_items_of_like_length_share_a_pass_across_calls(batchers: list[TokenBatcher], model: Summing) -> None:
    batcher = with_knobs(batchers, max_batch_tokens=1024)
    first = await occupy(batcher, model)
    later = [
        await start(batcher, model, encoding(10, 40), encoding(11, 160)),
        await start(batcher, model, encoding(20, 160), encoding(21, 40)),
    ]

    model.gate.set()
    await asyncio.gather(first, *later)

    assert [sorted(numbers) for numbers in model.passes[1:]] == [[11, 20], [10, 21]]
    assert batcher.counts.num_padded_tokens == batcher.counts.num_tokens


async def test_outputs_do_not_depend_on_who_shares_the_pass(batcher: TokenBatcher, model: Summing) -> None:
    lengths = np.random.default_rng(2).integers(1, 80, (20, 5))
    calls = [
        [encoding(100 * row + place, length) for place, length in enumerate(row_lengths)]
        for row, row_lengths in enumerate(lengths)
    ]

    together = await asyncio.gather(*(batcher.run(model, call, soon()) for call in calls))

    assert together == [[100 * row + place for place in range(5)] for row in range(20)]
    assert together == [await batcher.run(model, call, soon()) for call in calls]


async def test_a_query_waits_for_one_pass_of_a_document_of_10000_chunks(batcher: TokenBatcher, model: Summing) -> None:
    model.gate.clear()
    document = await start(batcher, model, *(encoding(1, 16) for _ in range(10_000)))
    await model.until_begun()
    query = await start(batcher, model, encoding(2, 16))
    assert len(model.passes) == 1

    model.gate.set()

    assert await query == [2]
    assert [2] in model.passes[1:3]
    assert not document.done()
    document.cancel()
    await asyncio.wait([document])


class Stepping(Summing):
    """Each pass ends when `step` lets it, which returns once the next is in progress."""

    def __init__(self) -> None:
        super().__init__()
        self._begun, self._permits = threading.Semaphore(0), threading.Semaphore(0)

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        outputs = super().forward(batch)
        self._begun.release()
        assert self._permits.acquire(timeout=PATIENCE_S)
        return outputs

    async def until_next(self) -> None:
        assert await asyncio.to_thread(self._begun.acquire, timeout=PATIENCE_S)

    async def step(self) -> None:
        self._permits.release()
        await self.until_next()


async def test_a_query_waits_for_two_passes_at_most_however_many_documents_there_are(batcher: TokenBatcher) -> None:
    model = Stepping()
    documents = [await start(batcher, model, *(encoding(1, 16) for _ in range(100))) for _ in range(20)]
    await model.until_next()

    for number in range(2, 12):
        query = await start(batcher, model, encoding(number, 8))
        await model.step()
        if model.passes[-1] != [number]:
            await model.step()
        assert model.passes[-1] == [number]
        await model.step()
        assert await query == [number]

    for document in documents:
        document.cancel()
    await asyncio.wait(documents)
    model._permits.release()


async def test_passes_of_a_document_are_short_while_queries_come(batcher: TokenBatcher, model: Summing) -> None:
    await batcher.run(model, [encoding(1, 8)] * 64, soon())
    assert max(model.padded_tokens) == 64

    await batcher.run(model, [encoding(2, 8)], soon())
    model.padded_tokens.clear()
    await batcher.run(model, [encoding(3, 8)] * 64, soon())

    assert set(model.padded_tokens) == {16}


async def test_queries_do_not_starve_a_document(batcher: TokenBatcher, model: Summing) -> None:
    model.gate.clear()
    document = await start(batcher, model, *(encoding(1, 16) for _ in range(8)))
    await model.until_begun()
    flood = [await start(batcher, model, encoding(2, 8)) for _ in range(400)]

    model.gate.set()
    await document

    assert sum(call.done() for call in flood) < 400
    await asyncio.gather(*flood)


async def test_models_never_share_a_pass(batcher: TokenBatcher, model: Summing) -> None:
    other, first = Summing(), await occupy(batcher, model)
    calls = [await start(batcher, called, encoding(number)) for number, called in enumerate([model, other] * 4)]

    model.gate.set()
    await asyncio.gather(first, *calls)

    assert model.passes == [[0], [0, 2, 4, 6]]
    assert other.passes == [[1, 3, 5, 7]]


async def test_work_whose_time_is_up_is_not_computed(batcher: TokenBatcher, model: Summing) -> None:
    first = await occupy(batcher, model)

    with pytest.raises(DeadlineExceededError, match="the embed stage did not answer within"):
        await batcher.run(model, [encoding(1)], Deadline.after(0.01))

    with pytest.raises(DeadlineExceededError):
        await batcher.run(model, [encoding(2)], Deadline.after(0))
    model.gate.set()
    await first
    assert await batcher.run(model, [encoding(3)], soon()) == [3]
    assert model.passes == [[0], [3]]


async def test_cancelling_a_call_drops_what_it_has_queued(batcher: TokenBatcher, model: Summing) -> None:
    first = await occupy(batcher, model)
    call = await start(batcher, model, *(encoding(1) for _ in range(50)))
    assert batcher.num_queued_tokens == 200

    call.cancel()
    await asyncio.wait([call])

    assert batcher.num_queued_tokens == 0
    model.gate.set()
    await first
    await turns()
    assert model.passes == [[0]]


class Down(Summing):
    """A model whose server is down."""

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        super().forward(batch)
        raise ModelUnavailableError("embed", "down", "its server cannot be reached")


async def test_a_server_that_is_down_is_not_asked_again_for_each_item(batcher: TokenBatcher) -> None:
    model = Down()

    with pytest.raises(ModelUnavailableError):
        await batcher.run(model, [encoding(number) for number in range(8)], soon())

    assert model.passes == [list(range(8))]


async def test_a_bad_item_fails_its_own_call_alone(batcher: TokenBatcher, model: Summing) -> None:
    first = await occupy(batcher, model)
    calls = [await start(batcher, model, encoding(number)) for number in (1, 2, BAD, 3, 4)]

    model.gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [answer for answer in answers if isinstance(answer, list)] == [[1], [2], [3], [4]]
    assert isinstance(answers[2], ValueError)
    assert await first == [0]


async def test_what_is_left_of_a_failed_call_is_not_computed(batcher: TokenBatcher, model: Summing) -> None:
    with pytest.raises(ValueError, match="a bad encoding"):
        await batcher.run(model, [encoding(BAD, 64), *(encoding(1, 64) for _ in range(40))], soon())

    await turns()
    assert model.passes == [[BAD]]
    assert batcher.num_queued_tokens == 0


async def test_a_full_queue_refuses_and_a_large_call_is_not_refused_for_its_size(
    batchers: list[TokenBatcher], model: Summing
) -> None:
    batcher = with_knobs(batchers, max_batch_tokens=64, max_queued_tokens=64)
    first = await occupy(batcher, model)
    large = await start(batcher, model, *(encoding(1, 10) for _ in range(10)))

    with pytest.raises(OverloadedError):
        await batcher.run(model, [encoding(2)], soon())

    model.gate.set()
    assert await large == [1] * 10
    assert await batcher.run(model, [encoding(2)], soon()) == [2]
    await first


async def test_only_the_next_parts_of_a_large_call_are_queued(batcher: TokenBatcher, model: Summing) -> None:
    model.gate.clear()

    call = await start(batcher, model, *(encoding(1, 16) for _ in range(10_000)))
    await model.until_begun()

    assert batcher.num_queued_tokens <= 4 * 64 + 64 * 16
    call.cancel()
    model.gate.set()
    await asyncio.wait([call])


async def test_tokenising_goes_on_while_a_forward_pass_runs(batcher: TokenBatcher, model: Summing) -> None:
    first = await occupy(batcher, model)

    assert await batcher.tokenize(encoding, 7, 3) is not None
    assert not first.done()

    model.gate.set()
    await first


async def test_a_query_is_tokenised_between_the_parts_of_a_document(batcher: TokenBatcher) -> None:
    tokenised: list[str] = []

    def tokenize(texts: Sequence[str]) -> list[Encoding]:
        tokenised.extend(texts)
        return [encoding(1) for _ in texts]

    async def all_of(texts: list[str]) -> list[Encoding]:
        return [encoding async for encodings in batcher.tokenize_all(tokenize, texts) for encoding in encodings]

    document, _ = await asyncio.gather(all_of(["chunk"] * 1000), all_of(["query"]))

    assert len(document) == 1000
    assert tokenised.index("query") == 64


async def test_the_first_parts_are_computed_while_the_next_are_tokenised(batcher: TokenBatcher, model: Summing) -> None:
    more = asyncio.Event()

    async def parts() -> AsyncGenerator[list[Encoding], None]:
        yield [encoding(1)]
        await more.wait()
        yield [encoding(2)]

    call = asyncio.create_task(batcher.run_parts(model, parts(), soon()))
    await model.until_begun()
    assert model.passes == [[1]]

    more.set()

    assert await call == [1, 2]


async def test_what_fails_to_tokenise_fails_its_call(batcher: TokenBatcher, model: Summing) -> None:
    async def parts() -> AsyncGenerator[list[Encoding], None]:
        yield [encoding(1)]
        raise ValueError("no such token")

    with pytest.raises(ValueError, match="no such token"):
        await batcher.run_parts(model, parts(), soon())

    assert batcher.num_queued_tokens == 0


async def test_a_model_that_gives_too_few_outputs_is_an_error(batcher: TokenBatcher) -> None:
    class Silent:
        def forward(self, batch: Sequence[Encoding]) -> list[int]:
            return []

    with pytest.raises(ValueError, match="Silent gave 0 outputs for 1 encodings"):
        await batcher.run(Silent(), [encoding(1)], soon())


async def test_an_empty_encoding_is_computed_too(batcher: TokenBatcher) -> None:
    class Counting:
        def forward(self, batch: Sequence[Encoding]) -> list[int]:
            return [len(encoding) for encoding in batch]

    assert await batcher.run(Counting(), [Encoding(np.empty(0, np.int32))], soon()) == [0]


async def test_new_knobs_hold_from_the_next_pass(batcher: TokenBatcher, model: Summing) -> None:
    batcher.configure(TokenBatchedConfig(max_batch_tokens=128))

    await batcher.run(model, [encoding(1, 8)] * 16, soon())

    assert model.padded_tokens == [128]


class Slow(Summing):
    """A pass takes long enough for its callers to ask again within a part of it."""

    def forward(self, batch: Sequence[Encoding]) -> list[int]:
        outputs = super().forward(batch)
        threading.Event().wait(0.2)
        return outputs


async def test_after_a_pass_of_many_those_who_ask_again_share_the_next(batchers: list[TokenBatcher]) -> None:
    batcher, model = with_knobs(batchers), Slow()

    async def caller(number: int) -> None:
        for _ in range(2):
            await batcher.run(model, [encoding(number)], soon())
            await turns(number)  # the next question comes a little after the answer, not with all the others

    await asyncio.gather(*(caller(number) for number in range(1, 11)))

    sizes = [len(batch) for batch in model.passes]
    assert sum(sizes) == 20
    assert len(sizes) <= 4, sizes  # with those who missed the first pass in one of their own


class Kept(dict[int, Any]):
    def __call__(self, place: int, output: Any) -> None:
        self[place] = output


async def test_at_the_deadline_the_outputs_so_far_are_returned(batcher: TokenBatcher, model: Summing) -> None:
    first = await occupy(batcher, model)

    assert await batcher.run_until(model, [encoding(1), encoding(2)], Deadline.after(0.01)) == [None, None]
    assert await batcher.run_until(model, [encoding(3)], Deadline.after(0)) == [None]

    model.gate.set()
    await first
    assert await batcher.run_until(model, [encoding(4), encoding(5)], soon()) == [4, 5]
    assert await batcher.run_until(model, [], soon()) == []


async def test_outputs_are_kept_when_the_caller_has_left(batcher: TokenBatcher, model: Summing) -> None:
    kept, late = Kept(), Kept()
    model.gate.clear()
    call = asyncio.create_task(batcher.run(model, [encoding(1), encoding(2)], soon(), kept))
    await model.until_begun()
    call.cancel()
    await asyncio.wait([call])
    with pytest.raises(DeadlineExceededError):
        await batcher.run(model, [encoding(3)], Deadline.after(0.01), late)

    model.gate.set()
    await batcher.run(model, [encoding(4)], soon())

    assert (kept, late) == ({0: 1, 1: 2}, {})


async def test_a_failure_to_keep_fails_the_call_and_no_other(batcher: TokenBatcher, model: Summing) -> None:
    def forget(place: int, output: Any) -> None:
        raise ValueError("nothing is kept here")

    first = await occupy(batcher, model)
    failing = asyncio.create_task(batcher.run(model, [encoding(1)], soon(), forget))
    other = await start(batcher, model, encoding(2))
    model.gate.set()

    with pytest.raises(ValueError, match="nothing is kept here"):
        await failing
    assert (await first, await other) == ([0], [2])


async def test_with_enough_time_a_ranked_call_is_batched_by_length(batcher: TokenBatcher, model: Summing) -> None:
    await batcher.run(model, [encoding(0)], soon())

    await batcher.run_until(model, [encoding(1, 4), encoding(2, 24), encoding(3, 4), encoding(4, 24)], soon())

    assert [sorted(numbers) for numbers in model.passes[1:]] == [[2, 4], [1, 3]]


async def test_with_too_little_time_the_first_of_a_ranked_call_are_computed_first(
    batcher: TokenBatcher, model: Summing
) -> None:
    await batcher.run(model, [encoding(0)], soon())
    batcher._questions._token_s = PATIENCE_S / 64  # the time suffices for 64 tokens of the 72

    outputs = await batcher.run_until(
        model, [encoding(1, 4), *(encoding(number, 4) for number in range(2, 19))], soon()
    )

    assert outputs == list(range(1, 19))
    assert model.passes[1] == [1, 2, 3, 4]  # a short pass: a quarter of 64 tokens


async def test_a_pass_is_no_longer_than_the_time_that_is_left(batcher: TokenBatcher, model: Summing) -> None:
    await batcher.run(model, [encoding(0)], soon())
    batcher._questions._token_s = PATIENCE_S / 11

    await batcher.run_until(model, [encoding(number, 4) for number in range(1, 19)], soon())

    assert model.passes[1] == [1, 2]


async def test_a_running_pass_shows_that_the_batcher_is_alive(batcher: TokenBatcher, model: Summing) -> None:
    async def probe() -> None:
        raise AssertionError("a busy model is not probed")

    first = await occupy(batcher, model)
    await batcher.liveness.check(probe)

    model.gate.set()
    await first
    await batcher.liveness.check(probe)
