"""Embedding: texts into vectors, and on request into token vectors, in forward passes that are batched by tokens."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
from pydantic import Field

from deployments.calls.client import StageClient
from deployments.calls.coalescer import answers_of
from deployments.calls.envelope import Envelope, longest_budget_s
from deployments.replica.batched_call import Encoder
from deployments.replica.fair_shares import Flow
from deployments.replica.liveness import STUCK_S
from deployments.replica.model_loader import ModelLoader, is_remote
from deployments.replica.model_slot import ModelSlot
from deployments.replica.received import received
from deployments.replica.start import start_replica
from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.token_passes import DocumentPasses, QueryPasses
from deployments.replica.user_config import ModelChoice, TokenBatchedConfig, parse_user_config
from models.catalog import Catalog
from models.deadline import Deadline
from models.embedding.base import EmbeddingModel, TokenEmbeddingModel, has_token_vectors
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.requests import ConflictError, InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus
from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray, unit_rows
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings

Tokenize = Callable[[Sequence[TextInput]], list[Encoding]]
MAX_SHARED_TEXTS = 16  # a larger call is sent alone: it delays no other, and can be cancelled


@dataclass(frozen=True)
class InputsCall:
    """One caller's texts, the generation to embed them in (None: the configured model's), and the vectors' size.

    `with_tokens`, for a single query: also its token vectors, if the model has them.
    """

    inputs: Sequence[TextInput]
    as_queries: bool
    generation: str | None = None
    dimensions: int | None = None
    with_tokens: bool = False


class EmbedderConfig(TokenBatchedConfig):
    """Embedder's user_config."""

    model: str = Field(default="minilm", description="Catalog alias of an embedding model.")
    max_other_models: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Most models in memory beside `model`, for vector stores that are searched with another model.",
    )


class Embedder:
    """The replica: the configured model, the models of other generations in use, and one batcher.

    A vector store is searched in its own generation until the configured model's is built. Both models are loaded
    then, so a new model always loads beside the old one. There is no canary: its vectors would be in another space.
    """

    stage = "embed"

    def __init__(self, catalog: Catalog) -> None:
        start_replica(self.stage)
        self._loader: ModelLoader[EmbeddingModel] = ModelLoader(catalog, "embedding", _warm_up)
        self._config = EmbedderConfig()
        self._slot: ModelSlot[EmbeddingModel] = ModelSlot("embed", self._load_next)
        self._other_models: dict[str, EmbeddingModel] = {}  # by generation
        self._loading = asyncio.Lock()
        self._batcher = TokenBatcher("embed", self._config)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Wait for the first model. Later return at once: a new model serves when it is loaded, see ModelSlot."""
        self._config = parse_user_config(EmbedderConfig, user_config)
        self._batcher.configure(self._config)
        await self._slot.choose(ModelChoice(self._config.model, "beside"))
        self._drop_other_models()

    @received
    async def embed_documents(
        self, texts: list[str], generation: str | None, envelope: Envelope, with_tokens: bool = False
    ) -> Embeddings:
        """Embed chunks. Raises ConflictError if no model in the catalog has that generation."""
        deadline, model = Deadline.after(envelope.budget_s), await self._model_of(generation)
        run = partial(self._run, flow=Flow.of(envelope))
        if not (with_tokens and has_token_vectors(model)):
            vectors, lengths = await run(model, model.tokenize_documents, texts, deadline)
            return Embeddings(_matrix(vectors, model.dim), model.generation, model.name, sum(lengths))
        outputs, lengths = await run(DocumentPasses(model), model.tokenize_documents, texts, deadline)
        matrix, codes = _matrix([vector for vector, _ in outputs], model.dim), tuple(code for _, code in outputs)
        return Embeddings(matrix, model.generation, model.name, sum(lengths), codes)

    @received
    async def embed_inputs(self, call: InputsCall, envelope: Envelope) -> Embeddings:
        """Raises InvalidRequestError for dimensions that the model does not have, ConflictError as above."""
        return await self._embed(call, envelope)

    @received
    async def embed_batch(self, message: list[InputsCall], envelopes: list[Envelope]) -> list[Embeddings | RagError]:
        """A message of small calls, which share a batch if they are of one kind. A bad call fails alone."""
        return await self._embed_all(message, envelopes)

    async def _embed(self, call: InputsCall, envelope: Envelope) -> Embeddings:
        (answer,) = await self._embed_all([call], [envelope])
        if isinstance(answer, RagError):
            raise answer
        return answer

    async def _embed_all(self, message: list[InputsCall], envelopes: list[Envelope]) -> list[Embeddings | RagError]:
        """Calls of one kind and one tenant share a call of the batcher."""
        groups: dict[tuple[Flow, str | None, bool, bool], list[int]] = {}  # places in the message
        for place, (call, envelope) in enumerate(zip(message, envelopes, strict=True)):
            kind = (Flow.of(envelope), call.generation, call.as_queries, call.with_tokens)
            groups.setdefault(kind, []).append(place)
        if len(groups) == 1:
            return await self._embed_group(message, envelopes)
        works = [
            self._embed_group([message[place] for place in places], [envelopes[place] for place in places])
            for places in groups.values()
        ]
        results = await answers_of("embed", [envelopes[places[0]] for places in groups.values()], works)
        answers: dict[int, Embeddings | RagError] = {}
        for places, result in zip(groups.values(), results, strict=True):
            of_group = [result] * len(places) if isinstance(result, RagError) else result
            answers.update(zip(places, of_group, strict=True))
        return [answers[place] for place in range(len(message))]

    async def _embed_group(self, message: list[InputsCall], envelopes: list[Envelope]) -> list[Embeddings | RagError]:
        try:
            deadline = Deadline.after(longest_budget_s(envelopes))
            return await self._embed_same_kind(message, deadline, Flow.of(envelopes[0]))
        except RagError as error:
            if len(message) == 1:
                return [error]
        return await answers_of("embed", envelopes, map(self._embed, message, envelopes))

    async def _embed_same_kind(
        self, message: list[InputsCall], deadline: Deadline, flow: Flow
    ) -> list[Embeddings | RagError]:
        model = await self._model_of(message[0].generation)
        if message[0].with_tokens and has_token_vectors(model):
            return await self._embed_queries(model, [str(call.inputs[0]) for call in message], deadline, flow)
        for call in message:
            _check_dimensions(model, call.dimensions)
        tokenize = model.tokenize_queries if message[0].as_queries else model.tokenize_documents
        inputs = [text for call in message for text in call.inputs]
        outputs, lengths = await self._run(model, tokenize, inputs, deadline, flow)
        vectors, ends = _matrix(outputs, model.dim), list(accumulate(len(call.inputs) for call in message))
        answers: list[Embeddings | RagError] = []
        for call, start, end in zip(message, [0, *ends], ends, strict=False):
            rows = _cut(vectors[start:end], call.dimensions or model.dim)
            answers.append(Embeddings(rows, model.generation, model.name, sum(lengths[start:end])))
        return answers

    async def _embed_queries(
        self, model: TokenEmbeddingModel, queries: list[str], deadline: Deadline, flow: Flow
    ) -> list[Embeddings | RagError]:
        """Each query's vector and token vectors, from one forward pass."""
        outputs, lengths = await self._run(QueryPasses(model), model.tokenize_queries, queries, deadline, flow)
        spans = await self._batcher.tokenize(lambda: [model.query_token_spans(query) for query in queries])
        space = (model.generation, model.name)
        return [
            Embeddings(output.vector[np.newaxis], *space, length, query_tokens=output.tokens, query_spans=query_spans)
            for output, length, query_spans in zip(outputs, lengths, spans, strict=True)
        ]

    async def _run(
        self,
        encoder: Encoder,
        tokenize: Tokenize,
        inputs: Sequence[TextInput],
        deadline: Deadline,
        flow: Flow,
    ) -> tuple[list[Any], list[int]]:
        """The encoder's output and the number of tokens for each input."""
        lengths: list[int] = []

        async def encodings() -> AsyncGenerator[list[Encoding], None]:
            async for encoded in self._batcher.tokenize_all(tokenize, inputs):
                lengths.extend(map(len, encoded))
                yield encoded

        return await self._batcher.run_parts(encoder, encodings(), deadline, flow), lengths

    async def _model_of(self, generation: str | None) -> EmbeddingModel:
        serving = self._slot.serving
        if generation is None or generation == serving.generation:
            return serving
        async with self._loading:
            if generation not in self._other_models:
                self._other_models[generation] = await self._load_generation(generation)
                self._drop_other_models()
        return self._other_models[generation]

    async def _load_next(self, alias: str) -> EmbeddingModel:
        """Load the next serving model, and keep the current one for its generation."""
        model = await self._loader.load(alias)
        with suppress(StageUnavailableError):  # there is no current one yet
            self._other_models[self._slot.serving.generation] = self._slot.serving
        return model

    async def _load_generation(self, generation: str) -> EmbeddingModel:
        alias = generation.rpartition("@")[0]
        model = await self._loader.load(alias)
        if model.generation != generation:
            raise ConflictError(f"model {alias!r} now has generation {model.generation!r}; no model has {generation!r}")
        return model

    def _drop_other_models(self) -> None:
        """Keep the last `max_other_models` models of other generations."""
        self._other_models.pop(self._slot.serving.generation, None)
        for generation in list(self._other_models)[: max(0, len(self._other_models) - self._config.max_other_models)]:
            del self._other_models[generation]

    async def status(self) -> StageStatus:
        return self._slot.status(self._batcher.num_unfinished, self._slot.serving.generation)

    async def check_health(self) -> None:
        """Serve's probe: see Liveness. An idle model embeds a word."""
        if not is_remote(self._slot.serving):
            await self._batcher.liveness.check(self._probe)

    async def _probe(self) -> None:
        with suppress(OverloadedError):  # a full queue is healthy
            await self._embed(InputsCall(["health"], as_queries=True), Envelope("health", "", STUCK_S))

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Read by Serve: see deployments/autoscaling.py."""
        return self._batcher.meter.stats()


async def _warm_up(model: EmbeddingModel) -> None:
    if not is_remote(model):
        await asyncio.to_thread(lambda: model.forward(model.tokenize_queries(["warm"])))


def _check_dimensions(model: EmbeddingModel, dimensions: int | None) -> None:
    if dimensions is not None and dimensions not in model.dims:
        allowed = ", ".join(map(str, model.dims))
        raise InvalidRequestError(f"{model.name} has vectors of {allowed} dimensions, not {dimensions}", "dimensions")


def _matrix(rows: Sequence[FloatArray], dim: int) -> FloatArray:
    """The rows as a matrix, also if there are none."""
    return np.stack(rows) if rows else np.empty((0, dim), np.float32)


def _cut(vectors: FloatArray, dim: int) -> FloatArray:
    """The first `dim` columns, each row of unit length again."""
    return vectors if vectors.shape[1] == dim else unit_rows(vectors[:, :dim])


class EmbedderClient(StageClient):
    """Calls the embedder. Satisfies serve.pipelines.stages.EmbedStage."""

    async def embed_query(
        self, text: str, context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        call = InputsCall([text], True, generation, with_tokens=with_tokens)
        return await self.shared_call("embed_batch", call, context)

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        envelope = Envelope.of(context)
        return await self.call("embed_documents", texts, generation, envelope, with_tokens, context=context)

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, context: RequestContext
    ) -> Embeddings:
        call = InputsCall(inputs, as_queries, None, dimensions)
        if len(inputs) <= MAX_SHARED_TEXTS:
            return await self.shared_call("embed_batch", call, context)
        return await self.call("embed_inputs", call, Envelope.of(context), context=context)
