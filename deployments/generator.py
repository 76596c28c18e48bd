"""Generation: the stage that writes the answer, streamed. The engine batches; closing a stream frees it at once."""

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from typing import Any

from pydantic import Field

from deployments.autoscaling import SlotMeter
from deployments.calls.client import StageClient
from deployments.calls.envelope import Envelope
from deployments.replica.fair_shares import FairTurns, Flow
from deployments.replica.generation_measures import GenerationMeasures
from deployments.replica.model_list import TRY_TIME, Link, ListedConfig, ModelList
from deployments.replica.model_loader import ModelLoader
from deployments.replica.model_slot import ModelSlot
from deployments.replica.received import received_stream
from deployments.replica.start import start_replica
from deployments.replica.user_config import parse_user_config
from deployments.telemetry.metrics.serving_models import observe_model
from deployments.telemetry.stage_metrics import StageMetrics
from models.catalog import Catalog
from models.errors.stages import StageUnavailableError
from models.generation.base import CompletionModel, GenerationModel, QueueingEngine
from models.generation.extractive import ExtractiveModel
from models.stage_status import StageStatus
from models.types.generation import CompletionRequest, GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from models.types.stage_results import FellBack

STAGE = "generate"


class GeneratorConfig(ListedConfig):
    """Generator's user_config. Its batching is the engine's own (continuous batching); see the catalog's options."""

    model: str = Field(
        default="extractive", description="Catalog alias of a generation model; or a list, tried in order."
    )
    try_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Longest wait for the first text of a model in a list before the next is tried, in seconds.",
    )


class Generator:
    """The replica: one model, and perhaps a canary. A running request ends with the model that it began with."""

    stage = STAGE

    def __init__(self, catalog: Catalog) -> None:
        start_replica(self.stage)
        loader: ModelLoader[CompletionModel] = ModelLoader(catalog, "generation", self._start)
        self._config = GeneratorConfig()
        self._models = ModelList(STAGE, lambda: ModelSlot(STAGE, loader.load, _stop, loader.fits_beside), self._config)
        self._meter, self._turns = SlotMeter(), FairTurns(STAGE)
        self._measures = GenerationMeasures(StageMetrics(STAGE))

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Wait for the first model. Later return at once: a new model serves when it has started, see ModelSlot."""
        self._config = parse_user_config(GeneratorConfig, user_config)
        await self._models.choose(self._config)

    @property
    def _slot(self) -> ModelSlot[CompletionModel]:
        """That of the only model, or of the first one in the list."""
        return self._models.first

    @received_stream
    async def stream(self, request: GenerationRequest, envelope: Envelope) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas as they come. Closing the stream, as a cancelled caller does, frees the engine at once.

        During a swap in turn it raises StageUnavailableError at once, as the caller can quote passages instead. A
        request for JSON waits for the next model.
        """
        request = replace(request, trace_context=envelope.trace_context)
        with self._measured(request.request_id):
            async with aclosing(self._deltas(request, envelope)) as deltas:
                async for delta in deltas:
                    yield delta

    async def _deltas(self, request: GenerationRequest, envelope: Envelope) -> AsyncGenerator[GenerationDelta, None]:
        """The deltas of the first model that begins. An adapter belongs to the first model of the list."""
        if self._models.is_single or request.sampling.adapter:
            deltas = self._of_first(request, envelope)
        else:
            deltas = self._of_list(request, envelope)
        async with aclosing(deltas):
            async for delta in deltas:
                yield delta

    async def _of_list(self, request: GenerationRequest, envelope: Envelope) -> AsyncGenerator[GenerationDelta, None]:
        def open_stream(link: Link[CompletionModel]) -> AsyncGenerator[GenerationDelta, None]:
            return self._of_first(request, envelope) if link.is_first else _of_next(request, link.slot)

        async with aclosing(self._models.streamed(open_stream, self._try_s(envelope))) as deltas:
            async for delta, fell_back in deltas:
                yield replace(delta, fell_back=fell_back)

    async def _of_first(self, request: GenerationRequest, envelope: Envelope) -> AsyncGenerator[GenerationDelta, None]:
        """The canary's deltas if it gets the request and does not fail; else the serving model's."""
        failed = ""
        with self._slot.lease_canary(_key(request)) as canary:
            if canary is not None:
                async with aclosing(canary.stream(request)) as deltas:
                    try:
                        first = await anext(deltas)
                    except Exception as error:  # noqa: BLE001, if the request is to blame, it fails again
                        failed = self._slot.note_canary_failure(canary, error, envelope.request_id)
                    else:
                        yield replace(first, model=canary.name)
                        async for delta in deltas:
                            yield replace(delta, model=canary.name)
                        return
        wait_s = envelope.budget_s if request.sampling.response_schema is not None else 0.0
        waiting = partial(self._measures.waiting, request.request_id)
        async with (
            waiting(self._slot.lease(None, wait_s)) as model,
            waiting(self._turns.engine_turn(Flow.of(envelope), model.activity())),
            aclosing(model.stream(request)) as deltas,
        ):
            async for delta in deltas:
                yield replace(delta, model=model.name, failed_canary=failed)

    @received_stream
    async def complete(self, request: CompletionRequest, envelope: Envelope) -> AsyncGenerator[dict[str, Any], None]:
        """OpenAI's objects, by the model that the request names. The canary answers only to its own name.

        In a list, the models after the named one answer if it does not begin. Then the objects have `fallbacks`.
        """
        name = str(request.body.get("model"))

        def open_stream(link: Link[CompletionModel]) -> AsyncGenerator[dict[str, Any], None]:
            return self._complete_first(request, envelope) if link.is_first else _complete_next(request, link)

        request = replace(request, trace_context=envelope.trace_context)
        with self._measured(request.request_id):
            if self._models.is_single:
                async with aclosing(self._complete_first(request, envelope)) as answers:
                    async for answer in answers:
                        yield answer
                return
            async with aclosing(self._models.streamed(open_stream, self._try_s(envelope), name)) as listed:
                async for answer, fell_back in listed:
                    yield answer | _degradation(fell_back)

    async def _complete_first(
        self, request: CompletionRequest, envelope: Envelope
    ) -> AsyncGenerator[dict[str, Any], None]:
        name = str(request.body.get("model"))
        lease = self._slot.lease_named(lambda model: name in model.served_names, envelope.budget_s)
        waiting = partial(self._measures.waiting, request.request_id)
        async with (
            waiting(lease) as model,
            waiting(self._turns.engine_turn(Flow.of(envelope), model.activity())),
            aclosing(model.complete(request)) as answers,
        ):
            async for answer in answers:
                yield answer

    def _try_s(self, envelope: Envelope) -> float:
        """The wait for a model's first text, which leaves time for the models that follow."""
        return min(self._config.try_s, TRY_TIME * envelope.budget_s)

    @contextmanager
    def _measured(self, request_id: str) -> Iterator[None]:
        """Measure a request. Those beyond the slots wait in the engine."""
        try:
            with self._meter.request():
                self._note_slots()
                with self._measures.measured(request_id, self._meter):
                    yield
        finally:
            self._measures.note_waiting(self._meter)

    def _note_slots(self) -> None:
        with suppress(StageUnavailableError):  # during a swap in turn the number stays
            self._meter.slots = self._slot.serving.activity().max_running
        self._measures.note_waiting(self._meter)

    async def count_tokens(self, request: CompletionRequest, envelope: Envelope) -> int:
        """As CompletionModel, by the first model of a list or the canary, whichever the request names."""
        name = str(request.body.get("model"))
        async with self._slot.lease_named(lambda model: name in model.served_names, envelope.budget_s) as model:
            return await model.count_tokens(request)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Read by Serve: see deployments/autoscaling.py. A request counts while the engine runs it."""
        self._note_slots()
        return self._meter.stats()

    async def _start(self, model: CompletionModel) -> None:
        """Every model's `start` ends with a first answer, so it is warm."""
        await model.start()
        if isinstance(model, QueueingEngine):
            model.observe_queue(self._measures.waited)

    async def status(self) -> StageStatus:
        return self._models.status(sum(model.activity().num_unfinished for model in self._models.models))

    async def check_health(self) -> None:
        """Serve's probe: the engine's own. An unhealthy canary is dropped, and the replica stays."""
        self._models.check_health()
        if self._slot.is_down:
            return  # a swap in turn is under way, or another model of the list serves
        async with self._slot.lease() as model:
            await model.check_health()
        canary = self._slot.canary
        if canary is not None:
            try:
                await canary.check_health()
            except Exception as error:  # noqa: BLE001, an engine may raise anything
                self._slot.drop_canary(canary, error)


async def _stop(model: CompletionModel) -> None:
    await model.stop()


async def _of_next(
    request: GenerationRequest, slot: ModelSlot[CompletionModel]
) -> AsyncGenerator[GenerationDelta, None]:
    """The deltas of a model that follows in the list."""
    async with slot.lease() as model, aclosing(model.stream(request)) as deltas:
        async for delta in deltas:
            yield replace(delta, model=model.name)


async def _complete_next(
    request: CompletionRequest, link: Link[CompletionModel]
) -> AsyncGenerator[dict[str, Any], None]:
    """The answers of a model that follows in the list, under its own name."""
    named = replace(request, body={**request.body, "model": link.alias})
    async with link.slot.lease() as model, aclosing(model.complete(named)) as answers:
        async for answer in answers:
            yield answer


def _degradation(fell_back: FellBack) -> dict[str, Any]:
    """The fields that say why another model answered."""
    return {"degraded": ["generate_fallback"], "fallbacks": {STAGE: dict(fell_back)}} if fell_back else {}


def _key(request: GenerationRequest) -> str | None:
    """The same question always goes to the same model. An adapter belongs to the serving model."""
    return None if request.sampling.adapter else request.question


class GeneratorClient(StageClient):
    """Calls the generator. Satisfies serve.pipelines.stages.GenerateStage and CompletionStage."""

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        start = time.perf_counter()
        async with aclosing(self.stream_call("stream", request, Envelope.of(context), context=context)) as deltas:
            async for delta in deltas:
                if delta.finish_reason is not None:
                    observe_model(self.stage, delta.model, time.perf_counter() - start, delta.failed_canary)
                yield delta

    def complete(self, request: CompletionRequest, context: RequestContext) -> AsyncGenerator[dict[str, Any], None]:
        return self.stream_call("complete", request, Envelope.of(context), context=context)

    async def count_tokens(self, request: CompletionRequest, context: RequestContext) -> int:
        num_tokens: int = await self.call("count_tokens", request, Envelope.of(context), context=context)
        return num_tokens


class InlineGenerator:
    """A model inside the calling process, behind the same protocol, that needs no replica of its own."""

    def __init__(self, model: GenerationModel) -> None:
        self._model = model

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        async with aclosing(self._model.stream(request)) as deltas:
            async for delta in deltas:
                yield replace(delta, model=self._model.name)


def quoting_models(catalog: Catalog) -> Callable[[str], InlineGenerator | None]:
    """A function from an alias to that model in this process, each made once; None for a model that does not quote."""

    @cache
    def quoting(alias: str) -> InlineGenerator | None:
        if not catalog.only_quotes(alias):
            return None  # its class is not imported: it may need a GPU
        model: ExtractiveModel = catalog.load("generation", alias)
        return InlineGenerator(model)

    return quoting
