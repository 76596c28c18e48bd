"""A Haystack pipeline for hayhooks, put together as Haystack's documentation has hybrid retrieval.

`hayhooks run --pipelines-dir haystack_pipelines`, in an environment of its own. A peer of the benchmarks, not a part of
ragserve. FAISS and BM25 retrievers are joined by reciprocal rank fusion, and the best ranked by a cross-encoder, unless
the request says otherwise.
"""

# mypy: disable-error-code="import-not-found, misc, untyped-decorator"

import torch
from hayhooks import BasePipelineWrapper
from haystack import Document, Pipeline, component
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import ComponentDevice
from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersTextEmbedder
from haystack_integrations.components.rankers.sentence_transformers import SentenceTransformersSimilarityRanker
from haystack_integrations.components.retrievers.faiss import FAISSEmbeddingRetriever
from haystack_integrations.document_stores.faiss import FAISSDocumentStore

from serve.cli.driver.peers.settings import (
    BATCH_SIZE,
    MAX_PAIR_TOKENS,
    ExtractiveAnswer,
    PeerSettings,
    read_chunks,
    read_vectors,
)


@component
class Answerer:
    """ragserve's extractive answer as a component, with the passages that it quotes."""

    def __init__(self, answers: ExtractiveAnswer) -> None:
        self._answers = answers

    @component.output_types(response=dict[str, object])
    def run(self, query: str, documents: list[Document]) -> dict[str, object]:
        return {"response": self._answers.response(query, [document.id for document in documents])}


class PipelineWrapper(BasePipelineWrapper):
    """POST /rag/run with a `query`, and `rerank` (true)."""

    def setup(self) -> None:
        settings = PeerSettings.of_environment()
        stores, answers = _stores(settings), ExtractiveAnswer(read_chunks(settings))
        self.pipeline = _pipeline(settings, stores, answers, has_ranker=True)
        self.pipeline_without_ranker = _pipeline(settings, stores, answers, has_ranker=False)

    def run_api(self, query: str, rerank: bool = True) -> dict[str, object]:
        inputs = {"embedder": {"text": query}, "words": {"query": query}, "answerer": {"query": query}}
        if not rerank:
            return self.pipeline_without_ranker.run(inputs)["answerer"]["response"]
        return self.pipeline.run(inputs | {"ranker": {"query": query}})["answerer"]["response"]


def _pipeline(
    settings: PeerSettings,
    stores: tuple[FAISSDocumentStore, InMemoryDocumentStore],
    answers: ExtractiveAnswer,
    has_ranker: bool,
) -> Pipeline:
    loading, device = {"dtype": getattr(torch, settings.dtype)}, ComponentDevice.from_str("cpu")
    dense, words = stores
    num_joined = settings.candidates if has_ranker else settings.top_k
    components = {
        "embedder": SentenceTransformersTextEmbedder(
            model=settings.encoder,
            device=device,
            normalize_embeddings=True,
            progress_bar=False,
            model_kwargs=loading,
        ),
        "dense": FAISSEmbeddingRetriever(document_store=dense, top_k=settings.candidates),
        "words": InMemoryBM25Retriever(document_store=words, top_k=settings.candidates),
        "joiner": DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=num_joined),
        "answerer": Answerer(answers),
    }
    if has_ranker:
        components["ranker"] = SentenceTransformersSimilarityRanker(
            model=settings.cross_encoder,
            device=device,
            top_k=settings.top_k,
            batch_size=BATCH_SIZE,
            model_kwargs=loading,
            tokenizer_kwargs={"model_max_length": MAX_PAIR_TOKENS},
        )
    pipeline = Pipeline()
    for name, instance in components.items():
        pipeline.add_component(name, instance)
    pipeline.connect("embedder.embedding", "dense.query_embedding")
    pipeline.connect("dense", "joiner")
    pipeline.connect("words", "joiner")
    if has_ranker:
        pipeline.connect("joiner", "ranker")
    pipeline.connect("ranker.documents" if has_ranker else "joiner.documents", "answerer.documents")
    pipeline.warm_up()
    return pipeline


def _stores(settings: PeerSettings) -> tuple[FAISSDocumentStore, InMemoryDocumentStore]:
    """The same documents in both: FAISS has no keyword search, the other builds its matrix for each dense search."""
    chunks, vectors = read_chunks(settings), read_vectors(settings)
    documents = [
        Document(id=chunk.chunk_id, content=chunk.indexed_text, embedding=vector)
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    dense, words = FAISSDocumentStore(embedding_dim=len(vectors[0])), InMemoryDocumentStore()
    dense.write_documents(documents)
    words.write_documents([Document(id=chunk.chunk_id, content=chunk.indexed_text) for chunk in chunks])
    return dense, words
