"""The graph of `ragserve bench step`: the stages of a question, with sleeping in the place of computing.

The service times are those of a GPU. Everything else is what serves: the clients, the batching, the meters, Serve.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.autoscaling import SlotMeter, WorkMeter
from deployments.calls.client import StageClient
from deployments.calls.coalescer import answers_of
from deployments.calls.envelope import Envelope
from deployments.replica.token_batcher import TokenBatchedConfig, TokenBatcher
from models.encoding import Encoding
from models.types import DEFAULT_TENANT, Deadline, RequestContext
from serve.cli.bench.step.load import ASK, PARSE

BUDGET_S = 60.0  # of a request: late is to be seen as late, not as failed
TEXT_TOKENS = 64


@dataclass(frozen=True)
class BatchTime:
    """What a batch takes: a pass costs `fixed_s`, and `item_s` for each of its items."""

    fixed_s: float
    item_s: float

    def seconds(self, num_items: int) -> float:
        return self.fixed_s + self.item_s * num_items


@dataclass(frozen=True)
class DecodeTime:
    """What an engine takes: a step gives up to `slots` requests a token each, and is the longer the more they are."""

    num_tokens: int
    step_s: float
    request_s: float  # of a step, for each request in it
    slots: int

    def seconds(self, num_tokens: int, num_requests: int) -> float:
        """Of so many tokens of one request among `num_requests`."""
        return num_tokens * (self.step_s + self.request_s * min(num_requests, self.slots))


class SleepingEncoder:
    """A model of the token batcher's."""

    def __init__(self, time_of: BatchTime) -> None:
        self._time_of = time_of

    def forward(self, batch: Sequence[Encoding]) -> list[str]:
        time.sleep(self._time_of.seconds(len(batch)))
        return ["done"] * len(batch)


class EncoderStage:
    """Embedding or reranking: the real token batcher, one pass at a time."""

    def __init__(self, stage: str, time_of: BatchTime, max_batch_size: int) -> None:
        config = TokenBatchedConfig(max_batch_size=max_batch_size, max_batch_tokens=TEXT_TOKENS * max_batch_size)
        self._stage, self._batcher, self._model = stage, TokenBatcher(stage, config), SleepingEncoder(time_of)
        self._encoding = Encoding(np.zeros(TEXT_TOKENS, np.int32))

    async def run_together(self, items: list[str], envelopes: list[Envelope]) -> list[Any]:
        """A message of concurrent calls."""
        return await answers_of(self._stage, envelopes, map(self._run, envelopes))

    async def _run(self, envelope: Envelope) -> str:
        (output,) = await self._batcher.run(self._model, [self._encoding], Deadline.after(envelope.budget_s))
        return str(output)

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._batcher.meter.stats()


class SearchStage:
    """Search: batched by Serve, as the searchers are."""

    def __init__(self, time_of: BatchTime) -> None:
        self._time_of = time_of
        self._meter = WorkMeter()

    async def run_together(self, items: list[str], envelopes: list[Envelope]) -> list[str]:
        """A message of concurrent calls."""
        self._meter.arrived(len(items))
        try:
            return await self._batches(items)
        finally:
            self._meter.left(len(items))

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.0)
    async def _batches(self, messages: list[list[str]]) -> list[list[str]]:
        num_items, start = sum(map(len, messages)), time.perf_counter()
        await asyncio.sleep(self._time_of.seconds(num_items))
        self._meter.worked(num_items, time.perf_counter() - start)
        return messages

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class EngineStage:
    """Generation: so many requests at once, each streamed; the others wait for a slot."""

    PARTS = 2  # of an answer: deltas are those of the tokens that gathered

    def __init__(self, time_of: DecodeTime) -> None:
        self._time_of = time_of
        self._slots = asyncio.Semaphore(time_of.slots)
        self._num_running = 0
        self._meter = SlotMeter(time_of.slots)

    async def stream(self, text: str, envelope: Envelope) -> AsyncGenerator[str, None]:
        with self._meter.request():
            async with self._slots:
                self._num_running += 1
                try:
                    for _ in range(self.PARTS):
                        await asyncio.sleep(self._time_of.seconds(self._part, self._num_running))
                        yield "done"
                finally:
                    self._num_running -= 1

    @property
    def _part(self) -> int:
        return self._time_of.num_tokens // self.PARTS

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class ParseStage:
    """Parsing: a file at a time."""

    def __init__(self, file_s: float) -> None:
        self._file_s = file_s
        self._turn = asyncio.Lock()
        self._meter = SlotMeter()

    async def parse(self, text: str) -> str:
        with self._meter.request():
            async with self._turn:
                await asyncio.sleep(self._file_s)
        return "done"

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class AskBody(BaseModel):
    text: str


@serve.ingress()
class StepIngress:
    """The request path, by the clients that the service uses. Files go to the parser alone."""

    def __init__(
        self,
        embed: DeploymentHandle,
        search: DeploymentHandle,
        rerank: DeploymentHandle,
        generate: DeploymentHandle,
        parse: DeploymentHandle,
    ) -> None:
        self._encoders = [StageClient(embed, "embed"), StageClient(search, "search"), StageClient(rerank, "rerank")]
        self._generate, self._parse = StageClient(generate, "generate"), StageClient(parse, "parse")

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()

        @app.post(ASK)
        async def ask(body: AskBody) -> AskBody:
            return AskBody(text=await self._answer(body.text, _context()))

        @app.post(PARSE)
        async def parse(body: AskBody) -> AskBody:
            return AskBody(text=await self._parse.call("parse", body.text, context=_context()))

        return app

    async def _answer(self, text: str, context: RequestContext) -> str:
        for stage in self._encoders:
            await stage.shared_call("run_together", text, context)
        stream = self._generate.stream_call("stream", text, Envelope.of(context), context=context)
        async with aclosing(stream) as deltas:
            return " ".join([delta async for delta in deltas])


def _context() -> RequestContext:
    return RequestContext("bench", DEFAULT_TENANT, Deadline.after(BUDGET_S))
