"""Time the models of a deployment file in this process, called as their replicas call them: one batch at a time."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from itertools import count

from deployments.embedder import EmbedderConfig
from deployments.generator import GeneratorConfig
from deployments.reranker import RerankerConfig
from models.catalog import Catalog
from models.embedding.base import EmbeddingModel
from models.embedding.offline import forward_all
from models.generation.base import GenerationModel
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.offline import complete
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationRequest, SamplingOptions
from serve.cli.capacity.fit import fit, rounded, timed
from serve.cli.capacity.profile import BatchTimes, GenerationTimes
from serve.cli.capacity.texts import Texts

QUESTIONS = (1, 2, 4, 8, 16, 32)  # per batch of the embedder
REQUESTS = (1, 2, 4)  # per batch of the reranker
STREAMS = (1, 2, 4, 8)  # concurrent, of a language model
STREAM_TOKENS = 32
PASSAGES = 5  # per answer


def measure_embed(catalog: Catalog, config: EmbedderConfig, texts: Texts, turn_s: float) -> tuple[BatchTimes, int]:
    """Tokenise and embed questions; returns the times and the dimension of the vectors."""
    model: EmbeddingModel = catalog.load("embedding", config.model)

    def embed(size: int) -> None:
        encodings = model.tokenize_queries(texts.questions(size))
        forward_all(model.forward, encodings, config.max_batch_tokens)

    fixed_s, per_item_s = fit(QUESTIONS, [timed(partial(embed, size), turn_s) for size in QUESTIONS])
    tokens = sum(map(len, model.tokenize_queries(texts.questions(100)))) // 100
    times = BatchTimes(fixed_s=fixed_s, per_item_s=per_item_s, max_batch=QUESTIONS[-1], tokens_per_item=max(1, tokens))
    return times, model.dim


def measure_rerank(
    catalog: Catalog, config: RerankerConfig, texts: Texts, candidates: int, cached: float, turn_s: float
) -> BatchTimes:
    """Rerank candidates. `cached`: fraction of them in the model's cache."""
    model: RerankingModel = catalog.load("reranking", config.model)
    cached_passages = texts.passages(round(cached * candidates))
    num_new = candidates - len(cached_passages)
    tokens = []

    def rerank(size: int) -> None:
        requests = [
            RerankRequest(question, (*cached_passages, *texts.passages(num_new))) for question in texts.questions(size)
        ]
        jobs = [model.tokenize(request) for request in requests]
        encodings = [encoding for job in jobs for encoding in job.encodings]
        tokens.append(sum(map(len, encodings)) // size)
        outputs = iter(forward_all(model.forward, encodings, config.max_batch_tokens))
        for job in jobs:
            complete(model, job, [next(outputs) for _ in job.encodings])

    fixed_s, per_item_s = fit(REQUESTS, [timed(partial(rerank, size), turn_s) for size in REQUESTS])
    return BatchTimes(fixed_s=fixed_s, per_item_s=per_item_s, max_batch=8, tokens_per_item=max(1, tokens[-1]))


async def measure_generate(
    catalog: Catalog, config: GeneratorConfig, texts: Texts, cached: float
) -> BatchTimes | GenerationTimes:
    """Prefill and steps of an engine, or whole answers of an extractive model.

    `cached`: fraction of the passages that an extractive model has read before.
    """
    model: GenerationModel = catalog.load("generation", config.model)
    # An engine reads its environment variables when it is imported.
    os.environ.update(catalog.environment("generation", config.model))
    await model.start()
    try:
        if catalog.entry("generation", config.model).kind == "extractive":
            return BatchTimes(per_item_s=rounded(await _one_by_one(model, texts, cached)))
        return await _engine(model, texts)
    finally:
        await model.stop()


async def _one_by_one(model: GenerationModel, texts: Texts, cached: float, repeats: int = 30) -> float:
    cached_passages = texts.passages(round(cached * PASSAGES))
    await _stream(model, texts, cached_passages)
    start = time.perf_counter()
    for _ in range(repeats):
        await _stream(model, texts, cached_passages)
    return (time.perf_counter() - start) / repeats


async def _engine(model: GenerationModel, texts: Texts) -> GenerationTimes:
    """Fit the life of a request among n requests to F + P n; see GenerationTimes.as_batch."""
    await _stream(model, texts)
    lives_s: list[float] = []
    prefill_s, _ = await _stream(model, texts)
    for streams in STREAMS:
        timings = await asyncio.gather(*(_stream(model, texts) for _ in range(streams)))
        lives_s.append(max(life_s for _, life_s in timings))
    fixed_s, per_item_s = fit(STREAMS, lives_s)
    step_item_s = max(0.0, per_item_s - prefill_s) / STREAM_TOKENS
    return GenerationTimes(
        prefill_s=prefill_s,
        step_s=max(1e-6, fixed_s / STREAM_TOKENS),
        step_item_s=step_item_s,
        tokens=STREAM_TOKENS,
        max_requests=STREAMS[-1],
    )


_request_numbers = count()


async def _stream(model: GenerationModel, texts: Texts, cached_passages: Sequence[str] = ()) -> tuple[float, float]:
    """(ttft_s, life_s): seconds to the first text and to the end of the answer."""
    start, ttft_s = time.perf_counter(), 0.0
    async with aclosing(model.stream(_request(texts, cached_passages))) as deltas:
        async for _ in deltas:
            ttft_s = ttft_s or time.perf_counter() - start
    return ttft_s, time.perf_counter() - start


def _request(texts: Texts, cached_passages: Sequence[str]) -> GenerationRequest:
    question, number = ChatMessage("user", texts.questions(1)[0]), next(_request_numbers)
    passages = tuple(
        Passage(key, f"chunk-{key}", "file-1", "file.txt", text, 0, len(text))
        for key, text in enumerate([*cached_passages, *texts.passages(PASSAGES - len(cached_passages))], 1)
    )
    return GenerationRequest(f"plan-{number}", (question,), passages, SamplingOptions(max_tokens=STREAM_TOKENS))
