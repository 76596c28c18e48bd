"""Protocols of the stages that the pipelines call. Clients of replicas satisfy them; in a test, the models do."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from models.documents.chunkers.base import ChunkingOptions
from models.enrichment.options import PLAIN, IngestOptions
from models.index.follow import DenseRequest, LexicalRequest
from models.index.token_search import SentenceScoreRequest, TokenScoreRequest
from models.reranking.query import SearchedQuery
from models.stage_status import StageStatus
from models.tokens.encoding import TextInput
from models.types.arrays import FloatArray, KeyArray
from models.types.chunks import ParsedFile, Passage
from models.types.generation import CompletionRequest, GenerationDelta, GenerationRequest
from models.types.ranking import LexicalRanking, Ranking
from models.types.request_context import RequestContext
from models.types.scope import Scope
from models.types.stage_results import Embeddings, Relevance, Reranking


class EmbedStage(Protocol):
    async def embed_query(
        self, text: str, context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        """One row: the query's vector, in the space of `generation`, or of the configured model.

        `with_tokens`: also its token vectors, if the model has them.
        """

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        """A row a text, in order, in the space of `generation`, or of the configured model.

        `with_tokens`: also the codes of its token vectors, if the model has them.
        """

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, context: RequestContext
    ) -> Embeddings:
        """A row an input, in order, by the configured model, cut to `dimensions` and scaled to unit length again.

        Raises InvalidRequestError for dimensions that the model cannot be cut to, and for unknown token ids.
        """

    async def status(self, context: RequestContext) -> StageStatus:
        """The model's name, and the generation of its vectors."""


class DenseStage(Protocol):
    async def search(self, request: DenseRequest, context: RequestContext) -> Ranking:
        """The `k` nearest chunks, among those embedded in the request's generation."""

    async def score_tokens(self, request: TokenScoreRequest, context: RequestContext) -> FloatArray:
        """MaxSim of the query's token vectors and those stored for each key (len(keys),), -1 to 1.

        NaN for a chunk without stored token vectors in the request's generation and scope.
        """

    async def score_sentences(self, request: SentenceScoreRequest, context: RequestContext) -> tuple[FloatArray, ...]:
        """MaxSim of each chunk's sentences, by its stored token vectors; NaN where it has none."""


class LexicalStage(Protocol):
    async def search(self, request: LexicalRequest, context: RequestContext) -> LexicalRanking:
        """The `k` best chunks by BM25, and the weight of each word of the query in the corpus."""


class RerankStage(Protocol):
    def reads_tokens(self, generation: str) -> bool:
        """Whether it is worth passing the query's token vectors in this generation to `rerank`."""

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        """A score for each candidate. `candidates` are best first, as retrieval ranks them."""

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        """The model's own score of each text. The order of `texts` means nothing."""


class GenerateStage(Protocol):
    def stream(self, request: GenerationRequest, context: RequestContext) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas as they come. Closing the stream frees the model at once."""


class CompletionStage(Protocol):
    """A generator that takes OpenAI's own requests, without retrieval."""

    def complete(self, request: CompletionRequest, context: RequestContext) -> AsyncGenerator[dict[str, Any], None]:
        """OpenAI's response object; or its chunks as they come, if the body says `stream`. Closing it frees the model.

        Raises InvalidRequestError for a request that the model does not support.
        """

    async def count_tokens(self, request: CompletionRequest, context: RequestContext) -> int:
        """The tokens of a chat's messages and functions, as the named model counts them."""


class ParseStage(Protocol):
    async def parse(
        self,
        content: bytes,
        filename: str,
        chunking: ChunkingOptions | None,
        context: RequestContext,
        options: IngestOptions = PLAIN,
    ) -> ParsedFile:
        """Text and chunks, and what `options` asks for. Raises UnreadableDocumentError."""

    async def status(self, context: RequestContext) -> StageStatus:
        """Raises RagError if no replica answers."""


class StatusSource(Protocol):
    """Any stage, to whoever asks what serves it."""

    async def status(self, context: RequestContext) -> StageStatus:
        """Raises RagError if no replica of the stage answers."""


class PassageSource(Protocol):
    def passages(self, keys: KeyArray | list[int], scope: Scope) -> dict[int, Passage]:
        """The chunks in scope, by key, without deleted ones. Blocks."""

    def vectors_of(self, keys: KeyArray | list[int], generation: str, scope: Scope) -> dict[int, FloatArray]:
        """The vectors (dim,) of those chunks in scope that have one in `generation`. Blocks."""


class GenerationSource(Protocol):
    def searched(self, scope: Scope) -> dict[str, tuple[str, ...]]:
        """The vector stores to search in each generation. Raises NotFoundError. Blocks."""
