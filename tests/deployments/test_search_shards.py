"""Shards of both searches as replicas of Ray Serve, called and merged by their clients."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from models.corpus.corpus import Corpus
from models.errors.requests import NotFoundError
from models.errors.stages import DeadlineExceededError
from models.index.follow import DenseRequest, LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.index.token_codec import encode_tokens
from models.index.token_search import TokenScoreRequest
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope
from tests.contexts import within

# One event loop for all: a handle belongs to the loop that made it.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

GENERATION, NUM_CHUNKS, NUM_SHARDS = "tiny@1", 60, 2


@dataclass(frozen=True)
class Sharded:
    """The clients of the two searches, and the corpus they search."""

    dense: Any
    lexical: Any
    corpus: Corpus


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def sharded(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from ray import serve

    from deployments.calls.ray_handle import RayHandle
    from deployments.dense_searcher import DenseSearcher, DenseSearcherClient
    from deployments.lexical_searcher import LexicalSearcher, LexicalSearcherClient
    from deployments.replica.storage import StorageConfig
    from models.corpus.views import Shard

    storage = StorageConfig(data_dir=tmp_path_factory.mktemp("shards") / Path("data"))
    corpus = storage.open()
    file = corpus.files.add(DEFAULT_TENANT, "a.md", b"a")
    corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
    (job,) = corpus.jobs.claim("test", 1, 60)
    chunks = [
        Chunk(f"word{number} {'walrus ' * (number % 7)}", number, number + 1, "", 1) for number in range(NUM_CHUNKS)
    ]
    vectors = np.eye(NUM_CHUNKS, dtype=np.float32)
    codes = [encode_tokens(vectors[[number]].astype(np.float16)) for number in range(NUM_CHUNKS)]
    corpus.jobs.complete(job, "a", chunks, {GENERATION: vectors}, {GENERATION: codes})
    handles: dict[type, list[Any]] = {DenseSearcher: [], LexicalSearcher: []}
    names = []
    for searcher, of_shards in handles.items():
        for number in range(NUM_SHARDS):
            names.append(f"{searcher.__name__}-{number}")
            deployment = serve.deployment(searcher, user_config={}, ray_actor_options={"num_cpus": 0.1})
            bound = deployment.bind(storage, Shard(number, NUM_SHARDS))
            of_shards.append(RayHandle(serve.run(bound, name=names[-1], route_prefix=None)))
    dense, lexical = DenseSearcherClient(handles[DenseSearcher]), LexicalSearcherClient(handles[LexicalSearcher])
    yield Sharded(dense, lexical, corpus)
    for name in names:
        serve.delete(name)


def vector_request(number: int, store: str = DEFAULT_VECTOR_STORE) -> DenseRequest:
    vector = np.eye(NUM_CHUNKS, dtype=np.float32)[number]
    return DenseRequest(vector, GENERATION, Scope(DEFAULT_TENANT, (store,)), NUM_CHUNKS)


def word_request(query: str, store: str = DEFAULT_VECTOR_STORE) -> LexicalRequest:
    return LexicalRequest(query, Scope(DEFAULT_TENANT, (store,)), NUM_CHUNKS)


async def test_every_shard_is_called_and_the_best_comes_first(sharded: Sharded) -> None:
    for number in range(4):
        ranking = await sharded.dense.search(vector_request(number), within(30))

        assert ranking.keys[0] == number + 1
        assert sorted(ranking.keys.tolist()) == list(range(1, NUM_CHUNKS + 1))


async def test_each_chunk_is_scored_by_the_shard_that_has_its_token_vectors(sharded: Sharded) -> None:
    query, keys = np.eye(NUM_CHUNKS, dtype=np.float16)[[4]], np.array([5, 6, NUM_CHUNKS + 1])
    request = TokenScoreRequest(query, np.ones(1, np.float32), keys, GENERATION, Scope(DEFAULT_TENANT, ("default",)))

    scores = await sharded.dense.score_tokens(request, within(30))

    np.testing.assert_allclose(scores, [1, 0, np.nan], atol=0.05)


@pytest.mark.parametrize("query", ["walrus", "word7 walrus", "word58", "nothing"])
async def test_shards_of_words_rank_as_one_index(sharded: Sharded, query: str) -> None:
    expected = LexicalSearch(sharded.corpus.views, TantivyIndex).search([word_request(query)])[0]

    result = await sharded.lexical.search(word_request(query), within(30))

    assert sorted(result.ranking.keys.tolist()) == sorted(expected.ranking.keys.tolist())
    assert result.ranking.scores == pytest.approx(expected.ranking.scores, rel=1e-5)
    assert result.term_weights == pytest.approx(expected.term_weights)


async def test_an_unknown_store_is_what_the_client_raises(sharded: Sharded) -> None:
    with pytest.raises(NotFoundError):
        await sharded.dense.search(vector_request(0, "vs_none"), within(30))
    with pytest.raises(NotFoundError):
        await sharded.lexical.search(word_request("walrus", "vs_none"), within(30))


async def test_the_stage_is_ready_when_every_shard_is(sharded: Sharded) -> None:
    assert (await sharded.dense.status(within(30))).model == ""
    assert (await sharded.lexical.status(within(30))).model == ""


async def test_without_one_shard_there_is_no_ranking(sharded: Sharded) -> None:
    """Last, because the shard does not come back."""
    from ray import serve

    serve.delete("LexicalSearcher-1")

    with pytest.raises(DeadlineExceededError):
        await sharded.lexical.search(word_request("walrus"), within(1))
