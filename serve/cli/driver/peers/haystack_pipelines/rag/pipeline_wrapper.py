"""A Haystack pipeline for hayhooks, put together as Haystack's documentation has hybrid retrieval.

`hayhooks run --pipelines-dir haystack_pipelines`, in an environment of its own. A peer of the benchmarks, not a part of
ragserve. FAISS and BM25 retrievers are joined by reciprocal rank fusion, and the best ranked by a cross-encoder.
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
    """POST /rag/run with a `query`."""

    def setup(self) -> None:
        settings = PeerSettings.of_environment()
        loading = {"dtype": getattr(torch, settings.dtype)}
        device = ComponentDevice.from_str("cpu")
        dense, words = _stores(settings)
        self.pipeline = Pipeline()
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
            "joiner": DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=settings.candidates),
            "ranker": SentenceTransformersSimilarityRanker(
                model=settings.cross_encoder,
                device=device,
                top_k=settings.top_k,
                batch_size=BATCH_SIZE,
                model_kwargs=loading,
                tokenizer_kwargs={"model_max_length": MAX_PAIR_TOKENS},
            ),
            "answerer": Answerer(ExtractiveAnswer(read_chunks(settings))),
        }
        for name, instance in components.items():
            self.pipeline.add_component(name, instance)
        self.pipeline.connect("embedder.embedding", "dense.query_embedding")
        self.pipeline.connect("dense", "joiner")
        self.pipeline.connect("words", "joiner")
        self.pipeline.connect("joiner", "ranker")
        self.pipeline.connect("ranker.documents", "answerer.documents")
        self.pipeline.warm_up()

    def run_api(self, query: str) -> dict[str, object]:
        inputs = {"embedder": {"text": query}, "words": {"query": query}, "ranker": {"query": query}}
        return self.pipeline.run(inputs | {"answerer": {"query": query}})["answerer"]["response"]


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
