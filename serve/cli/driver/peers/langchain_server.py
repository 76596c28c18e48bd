"""A LangChain retrieval chain behind FastAPI, as the two projects' documentation puts them together.

`uvicorn serve.cli.driver.peers.langchain_server:app`, in an environment of its own. A peer of the benchmarks, not a
part of ragserve. FAISS and BM25 retrievers are fused by EnsembleRetriever (reciprocal rank fusion), and the
best of them reranked by CrossEncoderReranker, unless the request says otherwise. Each question is answered in a thread
of the server's pool.
"""

# mypy: disable-error-code="import-not-found"

import torch
from fastapi import FastAPI
from langchain_classic.retrievers import ContextualCompressionRetriever, EnsembleRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_community.cross_encoders import HuggingFaceCrossEncoder
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_huggingface import HuggingFaceEmbeddings
from pydantic import BaseModel

from models.generation.words import words
from serve.cli.driver.peers.settings import (
    MAX_PAIR_TOKENS,
    ExtractiveAnswer,
    PeerSettings,
    read_chunks,
    read_vectors,
)

CHUNK_ID = "chunk_id"
settings = PeerSettings.of_environment()
chunks = read_chunks(settings)
loading = {"dtype": getattr(torch, settings.dtype)}


def dense_retriever() -> Runnable[str, list[Document]]:
    embeddings = HuggingFaceEmbeddings(
        model_name=settings.encoder,
        model_kwargs={"device": "cpu", "model_kwargs": loading},
        encode_kwargs={"normalize_embeddings": True},
    )
    texts = [chunk.indexed_text for chunk in chunks]
    metadatas = [{CHUNK_ID: chunk.chunk_id} for chunk in chunks]
    pairs = list(zip(texts, read_vectors(settings), strict=True))
    store = FAISS.from_embeddings(pairs, embeddings, metadatas=metadatas)
    return store.as_retriever(search_kwargs={"k": settings.candidates})


def keyword_retriever() -> Runnable[str, list[Document]]:
    return BM25Retriever.from_texts(
        [chunk.indexed_text for chunk in chunks],
        metadatas=[{CHUNK_ID: chunk.chunk_id} for chunk in chunks],
        preprocess_func=words,  # its own default splits at white space and keeps case and commas
        k=settings.candidates,
    )


def fused_retriever() -> Runnable[str, list[Document]]:
    """Question in, documents of both searches out, best first."""
    return EnsembleRetriever(retrievers=[dense_retriever(), keyword_retriever()], weights=[0.5, 0.5], id_key=CHUNK_ID)


def reranked(fused: Runnable[str, list[Document]]) -> Runnable[str, list[Document]]:
    """Question in, the `top_k` best of the candidates out."""
    cross_encoder = HuggingFaceCrossEncoder(
        model_name=settings.cross_encoder,
        model_kwargs={"device": "cpu", "max_length": MAX_PAIR_TOKENS, "model_kwargs": loading},
    )
    reranker = CrossEncoderReranker(model=cross_encoder, top_n=settings.top_k)
    return ContextualCompressionRetriever(
        base_compressor=reranker, base_retriever=fused | RunnableLambda(lambda hits: hits[: settings.candidates])
    )


class Question(BaseModel):
    query: str
    rerank: bool = True


app = FastAPI()
fused = fused_retriever()
chains = {True: reranked(fused), False: fused | RunnableLambda(lambda hits: hits[: settings.top_k])}
answers = ExtractiveAnswer(chunks)


@app.post("/query")
def query(question: Question) -> dict[str, object]:
    documents = chains[question.rerank].invoke(question.query)
    return answers.response(question.query, [document.metadata[CHUNK_ID] for document in documents])


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}
