"""The libraries called directly, as their documentation does: one thread, parameters as the served indexes have."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.index.faiss_config import FaissConfig
from models.types.arrays import FloatArray
from models.types.ranking import Ranking
from serve.cli.bench.search.rows import K, Search

MILVUS_INSERT = 1_000  # rows of a call
CONFIG = FaissConfig()


def raw_faiss(kind: str, vectors: FloatArray) -> Search:
    """An index of this kind over `vectors` (n, dim), with keys 1 to n."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.index_factory(vectors.shape[1], _factory(kind, *vectors.shape), faiss.METRIC_INNER_PRODUCT)
    _set_breadth(faiss, kind, index)
    index.train(vectors)
    index.add(vectors)
    keys = np.arange(1, len(vectors) + 1)

    def search(queries: Sequence[FloatArray]) -> list[Ranking]:
        faiss.omp_set_num_threads(1)  # FAISS has the number per calling thread
        scores, places = index.search(np.asarray(queries), K)
        pairs = zip(places, scores, strict=True)
        return [Ranking(keys[place[place >= 0]], score[place >= 0]) for place, score in pairs]

    return search


def _factory(kind: str, num_vectors: int, dim: int) -> str:
    """FAISS's own name of the structure that FaissConfig builds by default."""
    if kind == "hnsw":
        return f"HNSW{CONFIG.hnsw_m},Flat"
    if kind == "ivf_pq" and num_vectors >= CONFIG.train_at:
        return f"IVF{CONFIG.num_cells(num_vectors)},PQ{CONFIG.code_size(dim)},Refine(SQfp16)"
    return "Flat"


def _set_breadth(faiss: Any, kind: str, index: Any) -> None:
    if kind == "hnsw":
        index.hnsw.efConstruction, index.hnsw.efSearch = CONFIG.hnsw_ef_construction, CONFIG.hnsw_ef_search
    if kind == "ivf_pq" and isinstance(index, faiss.IndexRefine):
        faiss.extract_index_ivf(index).nprobe = CONFIG.ivf_nprobe
        index.k_factor = CONFIG.refine_factor


def raw_tantivy(texts: list[str]) -> Search:
    """BM25 with English stems over `texts`, with keys 1 to n."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("key", stored=False, fast=True)
    builder.add_text_field("text", tokenizer_name="en_stem", index_option="freq")
    index = tantivy.Index(builder.build())
    writer = index.writer(num_threads=1)
    for key, text in enumerate(texts, 1):
        document = tantivy.Document()
        document.add_integer("key", key)
        document.add_text("text", text)
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(queries: Sequence[str]) -> list[Ranking]:
        return [search_single(query) for query in queries]

    def search_single(query: str) -> Ranking:
        hits = searcher.search(index.parse_query(query, ["text"]), K, count=False).hits
        keys = searcher.fast_field_values("key", [address for _, address in hits])
        return Ranking(np.array(keys, np.int64), np.array([score for score, _ in hits], np.float32))

    return search


def raw_milvus(uri: str, vectors: FloatArray) -> Search:
    """A collection of keys and vectors, searched with pymilvus."""
    from pymilvus import MilvusClient

    client, name = MilvusClient(uri), "raw"
    client.create_collection(name, dimension=vectors.shape[1], metric_type="IP", consistency_level="Strong")
    for start in range(0, len(vectors), MILVUS_INSERT):
        inserted = vectors[start : start + MILVUS_INSERT]
        client.insert(name, [{"id": key, "vector": vector} for key, vector in enumerate(inserted, start + 1)])

    def search(queries: Sequence[FloatArray]) -> list[Ranking]:
        hits_by_query = client.search(name, [query.tolist() for query in queries], limit=K)
        return [_ranking(hits) for hits in hits_by_query]

    return search


def _ranking(hits: list[dict[str, Any]]) -> Ranking:
    keys, scores = [hit["id"] for hit in hits], [hit["distance"] for hit in hits]
    return Ranking(np.array(keys, np.int64), np.array(scores, np.float32))
