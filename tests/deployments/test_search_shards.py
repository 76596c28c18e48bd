"""Shards of the dense search as replicas of Ray Serve, asked and merged by their client."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from models.errors import NotFoundError
from models.index.follow import DenseRequest
from models.index.token_codec import encode_tokens
from models.index.token_search import TokenScoreRequest
from models.types import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Chunk, Scope
from tests.contexts import within

# One event loop for all: a handle belongs to the loop that made it.
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

GENERATION, NUM_CHUNKS = "tiny@1", 60


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from ray import serve

    from deployments.calls.ray_handle import RayHandle
    from deployments.dense_searcher import DenseSearcher, DenseSearcherClient
    from deployments.replica.storage import StorageConfig
    from models.corpus.views import Shard

    storage = StorageConfig(data_dir=tmp_path_factory.mktemp("shards") / Path("data"))
    corpus = storage.open()
    file = corpus.files.add(DEFAULT_TENANT, "a.md", b"a")
    corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
    (job,) = corpus.jobs.claim("test", 1, 60)
    chunks = [Chunk(f"word{number}", number, number + 1, "", 1) for number in range(NUM_CHUNKS)]
    vectors = np.eye(NUM_CHUNKS, dtype=np.float32)
    codes = [encode_tokens(vectors[[number]].astype(np.float16)) for number in range(NUM_CHUNKS)]
    corpus.jobs.complete(job, "a", chunks, {GENERATION: vectors}, {GENERATION: codes})
    handles = []
    for number in range(2):
        deployment = serve.deployment(DenseSearcher, user_config={}, ray_actor_options={"num_cpus": 0.1})
        bound = deployment.bind(storage, Shard(number, 2))
        handles.append(serve.run(bound, name=f"shard-{number}", route_prefix=None))
    yield DenseSearcherClient([RayHandle(handle) for handle in handles])
    for number in range(2):
        serve.delete(f"shard-{number}")


def request(number: int, store: str = DEFAULT_VECTOR_STORE) -> DenseRequest:
    vector = np.eye(NUM_CHUNKS, dtype=np.float32)[number]
    return DenseRequest(vector, GENERATION, Scope(DEFAULT_TENANT, (store,)), NUM_CHUNKS)


async def test_every_shard_is_asked_and_the_best_comes_first(client: Any) -> None:
    for number in range(4):
        ranking = await client.search(request(number), within(30))

        assert ranking.keys[0] == number + 1
        assert sorted(ranking.keys.tolist()) == list(range(1, NUM_CHUNKS + 1))


async def test_each_chunk_is_scored_by_the_shard_that_has_its_token_vectors(client: Any) -> None:
    query, keys = np.eye(NUM_CHUNKS, dtype=np.float16)[[4]], np.array([5, 6, NUM_CHUNKS + 1])
    request = TokenScoreRequest(query, np.ones(1, np.float32), keys, GENERATION, Scope(DEFAULT_TENANT, ("default",)))

    scores = await client.score_tokens(request, within(30))

    np.testing.assert_allclose(scores, [1, 0, np.nan], atol=0.05)


async def test_an_unknown_store_is_what_the_client_raises(client: Any) -> None:
    with pytest.raises(NotFoundError):
        await client.search(request(0, "vs_none"), within(30))


async def test_the_stage_is_ready_when_every_shard_is(client: Any) -> None:
    assert (await client.status(within(30))).model == ""
