"""The request path without Ray: the models and indexes themselves behind the pipelines' protocols."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np

from deployments.generator import InlineGenerator
from deployments.parser import parse_and_chunk
from models.corpus.corpus import Corpus
from models.documents.chunk import ChunkingOptions
from models.documents.tokenizer import WordTokenizer
from models.embedding.hashing_model import HashingConfig, HashingModel
from models.errors import RagError
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.index.exact import ExactIndex
from models.index.follow import DenseRequest, DenseSearch, LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.types import (
    ChatMessage,
    Deadline,
    Embeddings,
    GenerationDelta,
    GenerationRequest,
    LexicalRanking,
    ParsedFile,
    Passage,
    Ranking,
    Reranking,
    Scope,
)
from serve.pipelines.ingest import IngestConfig, IngestPipeline
from serve.pipelines.query import Query, QueryStages


class InlineEmbedder:
    """Feature hashing: real, and instant."""

    def __init__(self) -> None:
        self._model = HashingModel("hashing", HashingConfig(dim=512))

    async def embed_query(self, text: str, deadline: Deadline) -> Embeddings:
        return await self.embed_documents([text], deadline)

    async def embed_documents(self, texts: list[str], deadline: Deadline) -> Embeddings:
        return Embeddings(self._model.embed_documents(texts), self._model.generation, self._model.name)


class InlineDense:
    def __init__(self, corpus: Corpus) -> None:
        self._search = DenseSearch(corpus.views, ExactIndex)

    async def search(self, query: Embeddings, scope: Scope, k: int, deadline: Deadline) -> Ranking:
        return self._search.search([DenseRequest(query.vectors[0], query.generation, scope, k)])[0]


class InlineLexical:
    def __init__(self, corpus: Corpus) -> None:
        self._search = LexicalSearch(corpus.views, TantivyIndex)

    async def search(self, query: str, scope: Scope, k: int, deadline: Deadline) -> LexicalRanking:
        return self._search.search([LexicalRequest(query, scope, k)])[0]


class ShortestFirst:
    """A reranker that anyone can check by eye."""

    async def rerank(
        self, query: str, candidates: list[Passage], term_weights: dict[str, float], deadline: Deadline
    ) -> Reranking:
        lengths = [len(candidate.text) for candidate in candidates]
        return Reranking(-np.array(lengths, np.float32), "shortest-first")


class InlineParser:
    async def parse(
        self, content: bytes, filename: str, chunking: ChunkingOptions | None, deadline: Deadline
    ) -> ParsedFile:
        return parse_and_chunk(content, filename, WordTokenizer(), chunking or ChunkingOptions(max_tokens=64))


class Failing:
    """Any stage, down: every call raises the given error, streams after `num_deltas` deltas."""

    def __init__(self, error: RagError, num_deltas: int = 0) -> None:
        self._error, self._num_deltas = error, num_deltas

    async def embed_query(self, *_: object) -> Embeddings:
        raise self._error

    async def search(self, *_: object) -> Ranking:
        raise self._error

    async def rerank(self, *_: object) -> Reranking:
        raise self._error

    async def stream(self, request: GenerationRequest, deadline: Deadline) -> AsyncGenerator[GenerationDelta, None]:
        for _ in range(self._num_deltas):
            yield GenerationDelta("Half of ")
        raise self._error


class Silent:
    """A generator that never begins, as one whose engine is still loading."""

    async def stream(self, request: GenerationRequest, deadline: Deadline) -> AsyncGenerator[GenerationDelta, None]:
        await asyncio.Event().wait()
        yield GenerationDelta("never")


def inline_stages(corpus: Corpus) -> QueryStages:
    generator = InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig()))
    return QueryStages(
        InlineEmbedder(),
        InlineDense(corpus),
        InlineLexical(corpus),
        ShortestFirst(),
        generator,
        generator,
        corpus.views,
    )


async def ingest(corpus: Corpus, filename: str, content: bytes, tenant: str = "default") -> str:
    """Stores, attaches and ingests one file; gives its id."""
    file = corpus.files.add(tenant, filename, content, "assistants")
    corpus.store_files.attach(tenant, "default", file.file_id)
    pipeline = IngestPipeline(InlineParser(), InlineEmbedder(), corpus, IngestConfig())
    for job in corpus.jobs.claim("test", 10, 60):
        await pipeline.ingest(job)
    return file.file_id


def question(text: str, tenant: str = "default", top_k: int = 3) -> Query:
    return Query("req", (ChatMessage("user", text),), Scope(tenant, ("default",)), top_k)


def open_corpus(folder: Path) -> Corpus:
    return Corpus.open(f"sqlite:///{folder / 'corpus.db'}", folder / "files")
