"""The models of a deployment file, timed in this process as their replicas call them: in batches, one at a time."""

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
from models.types import ChatMessage, GenerationRequest, Passage, SamplingOptions
from serve.cli.capacity.fit import fit, rounded, timed
from serve.cli.capacity.profile import BatchTimes, GenerationTimes
from serve.cli.capacity.texts import Texts

QUESTIONS = (1, 2, 4, 8, 16, 32)  # of a batch to embed
REQUESTS = (1, 2, 4)  # of a batch to rerank
STREAMS = (1, 2, 4, 8)  # at once, of a language model
STREAM_TOKENS = 32
PASSAGES = 5  # that an answer is written from


def measure_embed(catalog: Catalog, config: EmbedderConfig, texts: Texts, turn_s: float) -> tuple[BatchTimes, int]:
    """Questions, tokenised and embedded; and the dimensions of their vectors."""
    model: EmbeddingModel = catalog.load("embedding", config.model)

    def embed(size: int) -> None:
        encodings = model.tokenize_queries(texts.questions(size))
        forward_all(model.forward, encodings, config.max_batch_tokens)

    took = [timed(partial(embed, size), turn_s) for size in QUESTIONS]
    fixed_s, per_item_s = fit(QUESTIONS, took)
    tokens = sum(map(len, model.tokenize_queries(texts.questions(100)))) // 100
    times = BatchTimes(fixed_s=fixed_s, per_item_s=per_item_s, max_batch=QUESTIONS[-1], tokens_per_item=max(1, tokens))
    return times, model.dim


def measure_rerank(
    catalog: Catalog, config: RerankerConfig, texts: Texts, candidates: int, cached: float, turn_s: float
) -> BatchTimes:
    """Questions with their candidates, of which the share `cached` was seen before."""
    model: RerankingModel = catalog.load("reranking", config.model)
    seen = texts.passages(candidates)
    num_seen = round(cached * candidates)
    tokens = []

    def rerank(size: int) -> None:
        requests = [
            RerankRequest(question, (*seen[:num_seen], *texts.passages(candidates - num_seen)))
            for question in texts.questions(size)
        ]
        works = [model.tokenize(request) for request in requests]
        encodings = [encoding for work in works for encoding in work.encodings]
        tokens.append(sum(map(len, encodings)) // size)
        outputs = iter(forward_all(model.forward, encodings, config.max_batch_tokens))
        for work in works:
            model.finish(work, [next(outputs) for _ in work.encodings])

    took = [timed(partial(rerank, size), turn_s) for size in REQUESTS]
    fixed_s, per_item_s = fit(REQUESTS, took)
    return BatchTimes(fixed_s=fixed_s, per_item_s=per_item_s, max_batch=8, tokens_per_item=max(1, tokens[-1]))


async def measure_generate(
    catalog: Catalog, config: GeneratorConfig, texts: Texts, cached: float
) -> BatchTimes | GenerationTimes:
    """An engine's steps and prefill; or one answer after the other, where the model quotes.

    Of an answer's passages the share `cached` was seen before.
    """
    model: GenerationModel = catalog.load("generation", config.model)
    # What an engine reads from the environment has to be there before it is imported.
    os.environ.update(catalog.environment("generation", config.model))
    await model.start()
    try:
        if catalog.entry("generation", config.model).kind == "extractive":
            return BatchTimes(per_item_s=rounded(await _one_by_one(model, texts, cached)))
        return await _engine(model, texts)
    finally:
        await model.stop()


async def _one_by_one(model: GenerationModel, texts: Texts, cached: float, repeats: int = 30) -> float:
    seen = texts.passages(round(cached * PASSAGES))
    await _stream(model, texts, seen)
    start = time.perf_counter()
    for _ in range(repeats):
        await _stream(model, texts, seen)
    return (time.perf_counter() - start) / repeats


async def _engine(model: GenerationModel, texts: Texts) -> GenerationTimes:
    """Lives of requests among n, fitted by F + P n; see GenerationTimes.as_batch."""
    await _stream(model, texts)
    lives: list[float] = []
    prefill_s, _ = await _stream(model, texts)
    for streams in STREAMS:
        found = await asyncio.gather(*(_stream(model, texts) for _ in range(streams)))
        lives.append(max(life for _, life in found))
    fixed_s, per_item_s = fit(STREAMS, lives)
    step_item_s = max(0.0, per_item_s - prefill_s) / STREAM_TOKENS
    return GenerationTimes(
        prefill_s=prefill_s,
        step_s=max(1e-6, fixed_s / STREAM_TOKENS),
        step_item_s=step_item_s,
        tokens=STREAM_TOKENS,
        max_requests=STREAMS[-1],
    )


_numbers = count()


async def _stream(model: GenerationModel, texts: Texts, seen: Sequence[str] = ()) -> tuple[float, float]:
    """Seconds until the first text, and of the whole answer."""
    start, first = time.perf_counter(), 0.0
    async with aclosing(model.stream(_request(texts, seen))) as deltas:
        async for _ in deltas:
            first = first or time.perf_counter() - start
    return first, time.perf_counter() - start


def _request(texts: Texts, seen: Sequence[str]) -> GenerationRequest:
    question, number = ChatMessage("user", texts.questions(1)[0]), next(_numbers)
    passages = tuple(
        Passage(key, f"chunk-{key}", "file-1", "file.txt", text, 0, len(text))
        for key, text in enumerate([*seen, *texts.passages(PASSAGES - len(seen))], 1)
    )
    return GenerationRequest(f"plan-{number}", (question,), passages, SamplingOptions(max_tokens=STREAM_TOKENS))
