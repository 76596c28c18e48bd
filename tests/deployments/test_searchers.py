"""The searcher replicas, called as plain objects: what their configuration chooses, and shards that are merged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.calls.envelope import Envelope
from deployments.cluster.environment import free_port
from deployments.dense_searcher import DenseSearcher, DenseSearcherClient
from deployments.lexical_searcher import LexicalSearcher
from deployments.replica.storage import StorageConfig
from models.corpus.corpus import Corpus
from models.corpus.views import Shard
from models.deadline import Deadline
from models.errors.configuration import ConfigError
from models.errors.requests import NotFoundError
from models.errors.stages import DeadlineExceededError
from models.errors.storage import VectorDatabaseUnavailableError
from models.index.follow import DenseRequest, LexicalRequest, merge
from models.index.lexical_shards import ShardRequest, merge_answers, total_counts
from models.index.milvus_config import MilvusConfig
from models.index.token_codec import encode_tokens
from models.index.token_search import SentenceScoreRequest, TokenScoreRequest
from models.types.arrays import FloatArray
from models.types.chunks import Chunk
from models.types.ranking import Ranking
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope
from tests.contexts import within
from tests.patience import PATIENCE_S

GENERATION, DIM = "tiny@1", 8
SCOPE = Scope(DEFAULT_TENANT, (DEFAULT_VECTOR_STORE,))


@pytest.fixture
def storage(tmp_path: Path) -> StorageConfig:
    return StorageConfig(data_dir=tmp_path / "data")


def vectors(count: int) -> FloatArray:
    matrix = np.random.default_rng(1).standard_normal((count, DIM)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def fill(corpus: Corpus, count: int) -> None:
    """A file of `count` chunks; chunk i has key i + 1 and says `word<i>`."""
    file = corpus.files.add(DEFAULT_TENANT, "a.md", b"a")
    corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
    (job,) = corpus.jobs.claim("test", 1, 60)
    chunks = [Chunk(f"word{number}", number, number + 1, "", 1) for number in range(count)]
    codes = [encode_tokens(np.eye(DIM, dtype=np.float16)[[number % DIM]]) for number in range(count)]
    corpus.jobs.complete(job, "a", chunks, {GENERATION: vectors(count)}, {GENERATION: codes})


def token_request(dimension: int, *keys: int, store: str = DEFAULT_VECTOR_STORE) -> TokenScoreRequest:
    """Chunk key k has one token, of dimension (k - 1) % DIM."""
    query, weights = np.eye(DIM, dtype=np.float16)[[dimension]], np.ones(1, np.float32)
    return TokenScoreRequest(query, weights, np.array(keys, np.int64), GENERATION, Scope(DEFAULT_TENANT, (store,)))


async def score(searcher: DenseSearcher, *requests: TokenScoreRequest) -> list[Any]:
    (answers,) = await searcher.score_messages([[(request, Deadline.after(30)) for request in requests]])
    return answers


def request(number: int, k: int = 3) -> DenseRequest:
    return DenseRequest(vectors(100)[number], GENERATION, SCOPE, k)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf_pq"])
async def test_user_config_chooses_the_index(storage: StorageConfig, kind: str) -> None:
    fill(storage.open(), 100)
    searcher = DenseSearcher(storage)
    await searcher.reconfigure({"index": {"kind": kind}})

    (ranking,) = await searcher.search_all([request(7)])

    assert ranking.keys[0] == 8
    await searcher.check_health()


async def test_a_changed_index_is_built_anew_and_an_unknown_one_refused(storage: StorageConfig) -> None:
    fill(storage.open(), 100)
    searcher = DenseSearcher(storage)
    await searcher.reconfigure({"index": {"kind": "flat"}})
    before = (await searcher.search_all([request(7)]))[0]
    await searcher.reconfigure({"index": {"kind": "hnsw"}})

    after = (await searcher.search_all([request(7)]))[0]

    assert after.keys.tolist() == before.keys.tolist()
    with pytest.raises(ConfigError, match="index"):
        await searcher.reconfigure({"index": {"kind": "magic"}})


async def test_the_status_changes_with_the_settings_of_the_index(storage: StorageConfig) -> None:
    searcher = DenseSearcher(storage)
    await searcher.reconfigure({"index": {"kind": "flat"}})
    before = (await searcher.status()).options

    await searcher.reconfigure({"index": {"kind": "hnsw"}})

    assert (await searcher.status()).options != before


async def test_shards_together_find_what_one_index_finds(storage: StorageConfig) -> None:
    fill(storage.open(), 100)
    whole, *shards = [DenseSearcher(storage, shard) for shard in (None, Shard(0, 3), Shard(1, 3), Shard(2, 3))]
    for searcher in (whole, *shards):
        await searcher.reconfigure({})

    expected = await whole.search_all([request(number, 10) for number in range(5)])
    parts = await asyncio.gather(*(shard.search_all([request(number, 10) for number in range(5)]) for shard in shards))

    for number in range(5):
        by_shard = [rankings[number] for rankings in parts]
        assert merge(by_shard, 10).keys.tolist() == expected[number].keys.tolist()
        assert all(len(ranking) == 10 for ranking in by_shard)


async def test_each_shard_scores_the_token_vectors_of_its_own_chunks(storage: StorageConfig) -> None:
    fill(storage.open(), 20)
    searchers = [DenseSearcher(storage, shard) for shard in (None, Shard(0, 2), Shard(1, 2))]
    for searcher in searchers:
        await searcher.reconfigure({})

    whole, even, odd = [(await score(searcher, token_request(3, 4, 5, 12, 99)))[0] for searcher in searchers]

    np.testing.assert_allclose(whole, [1, 0, 1, np.nan], atol=0.2)
    np.testing.assert_allclose(even, [1, np.nan, 1, np.nan], atol=0.2)
    np.testing.assert_allclose(odd, [np.nan, 0, np.nan, np.nan], atol=0.2)


class DirectHandle:
    """Calls a searcher in this process, and notes the requested keys and the ends of their sentences."""

    is_inline = True

    def __init__(self, searcher: DenseSearcher) -> None:
        self._searcher, self.keys, self.spans = searcher, list[int](), list[int]()

    def call(self, method: str, requests: list[Any], envelopes: list[Envelope]) -> Awaitable[Any]:
        if method == "score_sentences":
            self.spans += [int(spans[0, 1]) for request in requests for spans in request.spans]
        else:
            self.keys += [key for request in requests for key in request.keys.tolist()]
        return asyncio.ensure_future(getattr(self._searcher, method)(requests, envelopes))

    def stream(self, method: str, *args: object) -> AsyncIterator[Any]:
        raise NotImplementedError

    def cancel(self, response: Any) -> None:
        response.cancel()


async def test_the_client_asks_each_shard_for_its_own_chunks(storage: StorageConfig) -> None:
    fill(storage.open(), 20)
    handles = [DirectHandle(DenseSearcher(storage, Shard(number, 2))) for number in range(2)]
    for handle in handles:
        await handle._searcher.reconfigure({})

    scores = await DenseSearcherClient(handles).score_tokens(token_request(3, 4, 5, 12, 99), within(30))

    np.testing.assert_allclose(scores, [1, 0, 1, np.nan], atol=0.2)
    assert [handle.keys for handle in handles] == [[4, 12], [5, 99]]


async def test_sentences_are_scored_by_the_shard_of_their_chunk(storage: StorageConfig) -> None:
    fill(storage.open(), 20)
    handles = [DirectHandle(DenseSearcher(storage, Shard(number, 2))) for number in range(2)]
    for handle in handles:
        await handle._searcher.reconfigure({})
    spans = tuple(np.array([[0, length]]) for length in (1, 2, 3))

    scores = await DenseSearcherClient(handles).score_sentences(
        SentenceScoreRequest(token_request(3, 4, 5, 99), spans), within(30)
    )

    assert [len(of_chunk) for of_chunk in scores] == [1, 1, 1]
    assert [handle.spans for handle in handles] == [[1], [2, 3]]


async def test_token_scores_of_an_unknown_store_fail_alone_and_late_requests_are_not_computed(
    storage: StorageConfig,
) -> None:
    fill(storage.open(), 8)
    searcher = DenseSearcher(storage)
    await searcher.reconfigure({})
    in_time, late = Deadline.after(30), Deadline.after(0)
    good, unknown = token_request(0, 1), token_request(0, 1, store="vs_none")

    answers = await searcher.score_messages([[(good, in_time), (unknown, in_time)], [(good, late)]])

    np.testing.assert_allclose(answers[0][0], [1], atol=0.05)
    assert isinstance(answers[0][1], NotFoundError)
    assert isinstance(answers[1][0], DeadlineExceededError)


async def test_a_searcher_whose_milvus_is_gone_goes_on_and_says_so(
    storage: StorageConfig, caplog: pytest.LogCaptureFixture
) -> None:
    fill(storage.open(), 8)
    milvus = MilvusConfig(uri=f"http://127.0.0.1:{free_port()}", timeout_s=0.2)
    searcher = DenseSearcher(storage.model_copy(update={"milvus": milvus}))
    await searcher.reconfigure({})

    (refusal,) = await searcher.search_all([request(0)])
    async with asyncio.timeout(PATIENCE_S):
        while "the index is not kept up to date for now" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    assert isinstance(refusal, VectorDatabaseUnavailableError)
    assert [name for name, _ in (await searcher.status()).dependencies] == ["milvus"]
    await searcher.check_health()


async def test_background_work_reads_token_vectors_too(storage: StorageConfig) -> None:
    fill(storage.open(), 20)
    searcher = DenseSearcher(storage)
    await searcher.reconfigure({})

    while await asyncio.to_thread(searcher.maintain_step):
        pass

    assert any((storage.token_folder).rglob("*"))


async def test_shards_of_words_together_find_what_one_index_finds(storage: StorageConfig) -> None:
    fill(storage.open(), 100)
    whole, *shards = [LexicalSearcher(storage, shard) for shard in (None, Shard(0, 2), Shard(1, 2))]
    for searcher in (whole, *shards):
        await searcher.reconfigure({})
    request = LexicalRequest("word7 word8", SCOPE, 10)

    (expected,) = await whole.search_all([request])
    counted = [(await shard.search_all([ShardRequest(request)]))[0] for shard in shards]
    with_counts = ShardRequest(request, total_counts(counted))
    answers = [(await shard.search_all([with_counts]))[0] for shard in shards]

    merged = merge_answers(answers, 10)
    assert sorted(merged.ranking.keys.tolist()) == sorted(expected.ranking.keys.tolist()) == [8, 9]
    assert merged.ranking.scores == pytest.approx(expected.ranking.scores)
    assert merged.term_weights == pytest.approx(expected.term_weights)


async def test_a_request_that_cannot_be_answered_fails_alone_in_its_batch(storage: StorageConfig) -> None:
    fill(storage.open(), 100)
    dense, lexical = DenseSearcher(storage), LexicalSearcher(storage)
    await dense.reconfigure({})
    await lexical.reconfigure({})
    unknown = Scope(DEFAULT_TENANT, ("vs_none",))
    vectors_asked = [request(7), replace(request(8), scope=unknown), request(9)]
    words_asked = [LexicalRequest("word7", SCOPE, 3), LexicalRequest("word8", unknown, 3)]

    rankings = await dense.search_all(vectors_asked)
    words = await lexical.search_all(words_asked)

    assert [rankings[0].keys[0], rankings[2].keys[0]] == [8, 10]
    assert words[0].ranking.keys.tolist() == [8]
    assert isinstance(rankings[1], NotFoundError)
    assert isinstance(words[1], NotFoundError)


@pytest.mark.slow
async def test_milvus_lite_by_its_uri_holds_the_vectors_and_tantivy_the_words(storage: StorageConfig) -> None:
    fill(storage.open(), 100)
    storage = storage.with_milvus(str(storage.data_dir / "milvus.db"))
    dense, lexical = DenseSearcher(storage), LexicalSearcher(storage)
    await dense.reconfigure({})
    await lexical.reconfigure({})

    (ranking,) = await dense.search_all([request(7)])
    (words,) = await lexical.search_all([LexicalRequest("word7", SCOPE, 3)])
    (scores,) = await score(dense, token_request(7, 7, 8))

    assert ranking.keys[0] == 8
    np.testing.assert_allclose(scores, [0, 1], atol=0.2)
    assert words.ranking.keys.tolist() == [8]


async def test_messages_are_searched_together_and_what_is_late_is_not_searched(storage: StorageConfig) -> None:
    corpus = storage.open()
    fill(corpus, 8)
    searcher = DenseSearcher(storage)
    await searcher.reconfigure({})
    in_time, late = Deadline.after(30), Deadline.after(0)

    answers = await searcher.search_messages(
        [[(request(1), in_time), (request(2), late)], [], [(request(3), in_time), (request(3), late)]]
    )

    assert [len(message) for message in answers] == [2, 0, 2]
    (first, expired), (third, also_expired) = answers[0], answers[2]
    assert isinstance(first, Ranking)
    assert (first.keys[0], third.keys[0]) == (2, 4)
    assert isinstance(expired, DeadlineExceededError)
    assert isinstance(also_expired, DeadlineExceededError)
    corpus.close()


async def test_concurrent_messages_share_a_batch_and_get_their_own_answers(storage: StorageConfig) -> None:
    fill(storage.open(), 20)
    searcher = DenseSearcher(storage)
    await searcher.reconfigure({"max_batch_size": 4})
    envelope = Envelope("test", DEFAULT_TENANT, 30.0)

    answers = await asyncio.gather(*(searcher.search([request(number)], [envelope]) for number in range(10)))

    assert [ranking.keys[0] for (ranking,) in answers] == list(range(1, 11))
