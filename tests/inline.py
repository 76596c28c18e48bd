"""The request path without Ray: the models and indexes themselves behind the pipelines' protocols."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from deployments.generator import InlineGenerator, quoting_models
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.embedding.base import has_token_vectors
from models.embedding.hashing_model import HashingConfig, HashingModel
from models.embedding.offline import embed_documents, forward_all
from models.enrichment.options import PLAIN, IngestOptions
from models.errors.base import RagError
from models.errors.requests import InvalidRequestError
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.index.exact import ExactIndex
from models.index.follow import DenseRequest, DenseSearch, LexicalRequest, LexicalSearch
from models.index.tantivy_index import TantivyIndex
from models.index.token_codec import encode_tokens
from models.index.token_search import SentenceScoreRequest, TokenScoreRequest, TokenSearch
from models.reranking.query import SearchedQuery
from models.stage_status import StageStatus
from models.tokens.encoding import TextInput
from models.tokens.text_tokenizer import WordTokenizer
from models.types.arrays import FloatArray
from models.types.chunks import ParsedFile, Passage
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta, GenerationRequest
from models.types.ranking import LexicalRanking, Ranking
from models.types.request_context import RequestContext
from models.types.scope import Scope
from models.types.stage_results import Embeddings, Relevance, Reranking
from serve.clients import Clients
from serve.pipelines.answering import Query
from serve.pipelines.ingest import IngestConfig, IngestPipeline
from serve.pipelines.query import QueryStages
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline, RetrievalStages
from serve.pipelines.routed_retrieval import RoutedRetrieval


class InlineEmbedder:
    """Feature hashing: real, and instant. `generation` is the configured model's; a test may set it to the other."""

    def __init__(self, kind: type[HashingModel] = HashingModel) -> None:
        models = [kind("hashing", HashingConfig(dim=dim)) for dim in (512, 256)]
        self._models = {model.generation: model for model in models}
        self.generation, self.other_generation = self._models

    async def embed_query(
        self, text: str, context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        model, embedded = self._model_of(generation), await self.embed_documents([text], context, generation)
        if not (with_tokens and has_token_vectors(model)):
            return embedded
        (output,) = model.forward_tokens(model.tokenize_queries([text]))
        return replace(embedded, query_tokens=output.tokens, query_spans=model.query_token_spans(text))

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        model = self._model_of(generation)
        embedded = Embeddings(embed_documents(model, texts), model.generation, model.name)
        if not (with_tokens and has_token_vectors(model)):
            return embedded
        outputs = model.forward_tokens(model.tokenize_documents(texts))
        return replace(embedded, token_codes=tuple(encode_tokens(output.tokens) for output in outputs))

    def _model_of(self, generation: str | None) -> HashingModel:
        return self._models[generation or self.generation]

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, context: RequestContext
    ) -> Embeddings:
        model = self._models[self.generation]
        if dimensions not in (None, *model.dims):
            raise InvalidRequestError(f"vectors have {model.dim} dimensions", "dimensions")
        encodings = (model.tokenize_queries if as_queries else model.tokenize_documents)(inputs)
        vectors = np.stack(forward_all(model.forward, encodings))
        return Embeddings(vectors, model.generation, model.name, sum(map(len, encodings)))

    async def status(self, context: RequestContext) -> StageStatus:
        return StageStatus(self._models[self.generation].name, generation=self.generation)


class InlineDense:
    def __init__(self, corpus: Corpus, token_folder: Path | None = None) -> None:
        """Without a folder, it has no token vectors."""
        self._search = DenseSearch(corpus.views, ExactIndex)
        self._tokens = None if token_folder is None else TokenSearch(corpus.views, token_folder)

    async def search(self, request: DenseRequest, context: RequestContext) -> Ranking:
        return self._search.search([request])[0]

    async def score_tokens(self, request: TokenScoreRequest, context: RequestContext) -> FloatArray:
        if self._tokens is None:
            return np.full(len(request.keys), np.nan, np.float32)
        return self._tokens.score([request])[0]

    async def score_sentences(self, request: SentenceScoreRequest, context: RequestContext) -> tuple[FloatArray, ...]:
        if self._tokens is None:
            return tuple(np.full(len(spans), np.nan, np.float32) for spans in request.spans)
        return self._tokens.score_sentences([request])[0]


class InlineLexical:
    def __init__(self, corpus: Corpus) -> None:
        self._search = LexicalSearch(corpus.views, TantivyIndex)

    async def search(self, request: LexicalRequest, context: RequestContext) -> LexicalRanking:
        return self._search.search([request])[0]


class ShortestFirst:
    """A reranker whose order a reader can check by eye."""

    def reads_tokens(self, generation: str) -> bool:
        return False

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        lengths = [len(candidate.text) for candidate in candidates]
        num_tokens = sum(len(candidate.text.split()) for candidate in candidates)
        return Reranking(-np.array(lengths, np.float32), "shortest-first", num_tokens=num_tokens)

    async def score_as_stored(
        self, query: SearchedQuery, candidates: list[Passage], context: RequestContext
    ) -> Relevance:
        raise AssertionError("it does not score token vectors")

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        lengths = np.array([len(text) for text in texts], np.float32)
        return Relevance(1 / (1 + lengths), -lengths, "shortest-first", sum(len(text.split()) for text in texts))

    async def status(self, context: RequestContext) -> StageStatus:
        return StageStatus("shortest-first")


class InlineParser:
    async def parse(
        self,
        content: bytes,
        filename: str,
        chunking: ChunkingOptions | None,
        context: RequestContext,
        options: IngestOptions = PLAIN,
    ) -> ParsedFile:
        return FileParser(WordTokenizer())(content, filename, chunking or ChunkingOptions(max_tokens=64), options)

    async def status(self, context: RequestContext) -> StageStatus:
        return StageStatus()


class Failing:
    """Any stage that is down: each call raises the error; a stream raises it after `num_deltas` deltas."""

    def __init__(self, error: RagError, num_deltas: int = 0) -> None:
        self._error, self._num_deltas = error, num_deltas

    async def embed_query(self, *_: object) -> Embeddings:
        raise self._error

    async def search(self, *_: object) -> Ranking:
        raise self._error

    async def score_sentences(self, *_: object) -> tuple[FloatArray, ...]:
        raise self._error

    async def score_tokens(self, *_: object) -> FloatArray:
        raise self._error

    async def embed_inputs(self, *_: object) -> Embeddings:
        raise self._error

    def reads_tokens(self, generation: str) -> bool:
        return False

    async def rerank(self, *_: object) -> Reranking:
        raise self._error

    async def score(self, *_: object) -> Relevance:
        raise self._error

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        for _ in range(self._num_deltas):
            yield GenerationDelta("Half of ")
        raise self._error


class InlineCompletions:
    """The extractive model, which takes OpenAI's own requests."""

    def __init__(self) -> None:
        self._model = ExtractiveModel("extractive", ExtractiveConfig())

    def complete(self, request: CompletionRequest, context: RequestContext) -> AsyncGenerator[dict[str, Any], None]:
        return self._model.complete(request)

    async def count_tokens(self, request: CompletionRequest, context: RequestContext) -> int:
        return await self._model.count_tokens(request)

    async def status(self, context: RequestContext) -> StageStatus:
        return StageStatus(self._model.name)


class Silent:
    """A generator that never begins, like an engine that is still loading."""

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        await asyncio.Event().wait()
        yield GenerationDelta("never")


def retrieval_stages(corpus: Corpus) -> RetrievalStages:
    return RetrievalStages(
        InlineEmbedder(), InlineDense(corpus), InlineLexical(corpus), ShortestFirst(), corpus.views, corpus.generations
    )


def inline_stages(corpus: Corpus, **replaced: Any) -> QueryStages:
    """The parts of the query path; `replaced` ones by name."""
    generator = InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig()))
    parts = vars(retrieval_stages(corpus)) | {"generator": generator, "fallback": generator} | replaced
    stages = RetrievalStages(**{field.name: parts[field.name] for field in fields(RetrievalStages)})
    retrieval = RoutedRetrieval(RetrievalPipeline(stages, RetrievalConfig()))
    return QueryStages(retrieval, parts["generator"], parts["fallback"])


class ExtractiveGenerator(InlineCompletions):
    """Quotes passages, and answers OpenAI's own requests."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = InlineGenerator(self._model)

    def stream(self, request: GenerationRequest, context: RequestContext) -> AsyncGenerator[GenerationDelta, None]:
        return self._generator.stream(request, context)


def inline_clients(corpus: Corpus) -> Clients:
    """Every stage of the application."""
    embedder, reranker, generator = InlineEmbedder(), ShortestFirst(), ExtractiveGenerator()
    return Clients(
        embedder=embedder,
        dense=InlineDense(corpus),
        lexical=InlineLexical(corpus),
        reranker=reranker,
        generator=generator,
        parser=InlineParser(),
        fallback=generator,
        quoting=quoting_models(Catalog.open(None)),
        statuses={"embed": embedder, "rerank": reranker},
    )


async def ingest(corpus: Corpus, filename: str, content: bytes, tenant: str = "default") -> str:
    """Stores, attaches and ingests one file, and returns its id."""
    file = corpus.files.add(tenant, filename, content, "assistants")
    corpus.store_files.attach(tenant, "default", file.file_id)
    pipeline = IngestPipeline(InlineParser(), InlineEmbedder(), corpus, IngestConfig())
    for job in corpus.jobs.claim("test", 10, 60):
        await pipeline.ingest(job)
    return file.file_id


def question(text: str, tenant: str = "default", top_k: int = 3) -> Query:
    return Query((ChatMessage("user", text),), Scope(tenant, ("default",)), top_k)


def open_corpus(folder: Path) -> Corpus:
    return Corpus.open(f"sqlite:///{folder / 'corpus.db'}", folder / "files")
