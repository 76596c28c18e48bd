"""The run of `ragserve bench search`: builds each index raw and behind a replica, and compares them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.cluster.start import ClusterSize, local_cluster
from deployments.dense_searcher import DenseSearcher
from deployments.lexical_searcher import LexicalSearcher
from deployments.replica.storage import StorageConfig
from models.errors.requests import InvalidRequestError
from models.index.follow import DenseRequest, LexicalRequest
from models.types.arrays import FloatArray
from models.types.ranking import Ranking
from serve.cli.bench.search.raw_indexes import raw_faiss, raw_milvus, raw_tantivy
from serve.cli.bench.search.rows import K, Row, Search, SearchPlan, compare, recall
from serve.cli.driver.index_workload import GENERATION, SCOPE, IndexWorkload, make_index_workload, store_chunks

FAISS_KINDS = ("flat", "hnsw", "ivf_pq")
INDEXES = (*FAISS_KINDS, "tantivy", "milvus")
FIRST_ANSWER_S = 1800.0  # the replica builds its index within it: HNSW of a million vectors takes long on one core
OBJECT_STORE_BYTES = 256 * 1024**2
APPLICATION = "bench"


def run(plan: SearchPlan, folder: Path, report: Callable[[str], None]) -> Iterator[Row]:
    """A row for each index at each size, as soon as it is measured. Raises InvalidRequestError for an unknown index."""
    if unknown := set(plan.indexes) - set(INDEXES):
        raise InvalidRequestError(f"unknown index {unknown.pop()!r}; choose from {', '.join(INDEXES)}", "indexes")
    with local_cluster(ClusterSize(num_cpus=2, object_store_bytes=OBJECT_STORE_BYTES)):
        for size in plan.sizes:
            workload = make_index_workload(size, plan.dim)
            storage = StorageConfig(data_dir=folder / str(size))
            report(f"{size:,} chunks: storing")
            corpus = storage.open()
            store_chunks(corpus, workload.texts, workload.vectors)
            corpus.close()
            exact = _search_all(raw_faiss("flat", workload.vectors), workload.queries, plan)
            for index in plan.indexes:
                report(f"{size:,} chunks: {index}")
                yield _measure(index, workload, storage, exact, plan)


def _measure(
    index: str, workload: IndexWorkload, storage: StorageConfig, exact: list[Ranking], plan: SearchPlan
) -> Row:
    if index == "tantivy":
        raw = raw_tantivy(workload.texts)
        with _served(LexicalSearcher, storage, {}) as handle:
            turns = compare(raw, _lexical_search(handle), workload.text_queries, plan)
        return Row(index, len(workload), *turns, None, None)
    storage, raw = _dense_backend(index, workload.vectors, storage, plan)
    user_config = {"index": {"kind": index}} if index in FAISS_KINDS else {}
    with _served(DenseSearcher, storage, user_config) as handle:
        served = _dense_search(handle)
        turns = compare(raw, served, workload.queries, plan)
        recalls = [recall(_search_all(search, workload.queries, plan), exact) for search in (raw, served)]
    return Row(index, len(workload), *turns, recalls[0], recalls[1])


def _dense_backend(
    index: str, vectors: FloatArray, storage: StorageConfig, plan: SearchPlan
) -> tuple[StorageConfig, Search]:
    if index != "milvus":
        return storage, raw_faiss(index, vectors)
    uri = plan.milvus_uri or str(storage.data_dir / "milvus-raw.db")
    served_uri = plan.milvus_uri or str(storage.data_dir / "milvus.db")
    return storage.with_milvus(served_uri), raw_milvus(uri, vectors)


@contextmanager
def _served(replica: type, storage: StorageConfig, user_config: dict[str, Any]) -> Iterator[DeploymentHandle[Any]]:
    """One replica, on one core."""
    decorate = serve.deployment(
        user_config=user_config,
        max_ongoing_requests=64,
        ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}}},
    )
    handle = serve.run(decorate(replica).bind(storage), name=APPLICATION, route_prefix=None)
    try:
        yield handle
    finally:
        serve.delete(APPLICATION)


def _dense_search(handle: DeploymentHandle[Any]) -> Search:
    def search(queries: Sequence[FloatArray]) -> list[Ranking]:
        requests = [DenseRequest(vector, GENERATION, SCOPE, K) for vector in queries]
        rankings: list[Ranking] = handle.search_all.remote(requests).result(timeout_s=FIRST_ANSWER_S)
        return rankings

    return search


def _lexical_search(handle: DeploymentHandle[Any]) -> Search:
    def search(queries: Sequence[str]) -> list[Ranking]:
        requests = [LexicalRequest(query, SCOPE, K) for query in queries]
        rankings = handle.search_all.remote(requests).result(timeout_s=FIRST_ANSWER_S)
        return [lexical.ranking for lexical in rankings]

    return search


def _search_all(search: Search, queries: FloatArray, plan: SearchPlan) -> list[Ranking]:
    starts = range(0, len(queries), plan.batch_size)
    return [ranking for start in starts for ranking in search(queries[start : start + plan.batch_size])]
