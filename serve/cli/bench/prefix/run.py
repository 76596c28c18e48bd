"""The run of `ragserve bench prefix`: the simulation, then vLLM's own counters over the prompts that we send it."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from models.generation.passage_order import OrderName, passage_order
from models.generation.prompt import build_messages, number_passages
from models.generation.vllm_config import VllmConfig
from models.generation.vllm_model import VllmModel
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationRequest, SamplingOptions
from serve.cli.bench.prefix.cache import PrefixCache, Segment
from serve.cli.bench.prefix.simulate import SCOPE, Hits, PrefixPlan, Row, simulate
from serve.cli.bench.prefix.trace import Trace, make_trace
from serve.pipelines.answering import Query
from serve.pipelines.query import generation_request
from serve.pipelines.retrieving import Retrieved
from serve.pipelines.trace import Trace as PipelineTrace

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Report = Callable[[str], None]
CONFIGURABLE = get_args(OrderName)
MAX_MODEL_LEN = 2_048
ENGINE_BLOCK_TOKENS = 32  # the least that vLLM takes on a CPU
WORDS_PER_TOKEN = 1 / 30  # words of a passage on the engine for each token in the trace
WORDS = ("query", "index", "passage", "answer", "stream", "engine", "replica", "request", "server", "river", "token")
COUNTERS_TIMEOUT_S = 30.0  # the engine's process reports its counters a moment after its tokens


def run(plan: PrefixPlan, report: Report) -> Iterator[Row]:
    """A row for each order in the simulation; with an LLM also vLLM's count, and the simulation of the same prompts."""
    trace = make_trace(plan.num_requests)
    report(f"{len(trace.requests):,} requests, simulated")
    yield from simulate(trace, plan)
    if plan.llm is not None:
        yield from asyncio.run(_on_engine(trace, plan, plan.llm, report))


async def _on_engine(trace: Trace, plan: PrefixPlan, llm: Path, report: Report) -> list[Row]:
    config = _engine_config(llm, plan)
    model = VllmModel("bench", config)
    os.environ.update({"VLLM_LOGGING_LEVEL": "ERROR", **config.environment()})
    report("starting vLLM")
    await model.start()
    try:
        rows = [row for name in CONFIGURABLE async for row in _replay(model, trace, plan, name, report)]
    finally:
        await model.stop()
    return sorted(rows, key=lambda row: row.counted, reverse=True)


def _engine_config(llm: Path, plan: PrefixPlan) -> VllmConfig:
    blocks = {
        "block_size": ENGINE_BLOCK_TOKENS,
        "num_gpu_blocks_override": plan.engine_kv_tokens // ENGINE_BLOCK_TOKENS,
    }
    return VllmConfig(
        source=str(llm),
        max_model_len=MAX_MODEL_LEN,
        max_tokens=1,
        engine_kwargs={**blocks, "max_num_seqs": 1},
        cpu_kv_cache_gib=1,
        cpu_threads=1,
    )


async def _replay(
    model: VllmModel, trace: Trace, plan: PrefixPlan, name: OrderName, report: Report
) -> AsyncGenerator[Row, None]:
    """vLLM's count for an order, and the simulation of the same token ids."""
    from transformers import AutoTokenizer

    report(f"{plan.num_engine_requests} requests on vLLM, order by {name}")
    tokenizer = AutoTokenizer.from_pretrained(plan.llm)
    requests = engine_requests(trace, plan.num_engine_requests, name)
    prompts = [_token_ids(tokenizer, build_messages(request, number_passages(request))) for request in requests]
    bare = [_token_ids(tokenizer, build_messages(request, {})) for request in requests]
    num_prompt, num_passages = sum(map(len, prompts)), sum(map(len, prompts)) - sum(map(len, bare))
    # Requests share the instructions in every order; the first one has no hits.
    num_shared = _num_common(prompts) // ENGINE_BLOCK_TOKENS * ENGINE_BLOCK_TOKENS * (len(prompts) - 1)
    counts = {"vLLM": await _engine_hits(model, requests), "simulated for vLLM": _simulated_hits(prompts, plan)}
    for counted, num_hits in counts.items():
        hits = Hits(num_prompt, num_hits, num_passages, max(0, num_hits - num_shared))
        yield Row(name, counted, len(requests), plan.engine_kv_tokens, hits)


def engine_requests(trace: Trace, num_requests: int, name: OrderName) -> list[GenerationRequest]:
    """The last requests of the trace, as the query path sends them; the order has seen all earlier requests.

    The texts of two orders differ, so that neither hits the blocks of the other.
    """
    order, scope = passage_order(name), SCOPE
    generation_requests: list[GenerationRequest] = []
    for number, request in enumerate(trace.requests):
        retrieved = Retrieved(
            tuple(_passage(trace, document, name) for document in request.documents), {}, PipelineTrace()
        )
        messages = (ChatMessage("user", f"{name} {request.question}: what does the {_words(request.question, 6)} do?"),)
        query = Query(messages, scope, len(retrieved.passages), SamplingOptions(max_tokens=1))
        generation_requests.append(generation_request(f"{name}-{number}", query, retrieved, order))
    return generation_requests[-num_requests:]


def _passage(trace: Trace, document: int, salt: str) -> Passage:
    size = max(1, round(int(trace.passage_tokens[document]) * WORDS_PER_TOKEN))
    text = f"{salt} {document}: {_words(document, size)}."
    return Passage(document, str(document), str(document), f"{document}.md", text, 0, len(text))


@cache
def _words(seed: int, size: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, size))


def _num_common(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the prefix that all prompts share, in tokens."""
    columns = zip(*prompts, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _token_ids(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[ChatMessage]) -> list[int]:
    """The prompt's tokens, as VllmModel makes them."""
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False, enable_thinking=False)


async def _engine_hits(model: VllmModel, requests: Sequence[GenerationRequest]) -> int:
    """Prompt tokens that hit the prefix cache, by the engine's own count; one request after the other."""
    queries_before, hits_before = _counters()
    num_prompt_tokens = 0
    for request in requests:
        async with aclosing(model.stream(request)) as deltas:
            num_prompt_tokens += sum([delta.num_prompt_tokens async for delta in deltas])
    async with asyncio.timeout(COUNTERS_TIMEOUT_S):
        while _counters()[0] - queries_before < num_prompt_tokens:  # noqa: ASYNC110 - the engine has no event for it
            await asyncio.sleep(0.05)
    return int(_counters()[1] - hits_before)


def _counters() -> tuple[float, float]:
    """vLLM's own counters since its start: tokens looked up in the prefix cache, and hits."""
    from vllm.v1.metrics.reader import Counter, get_metrics_snapshot

    values = {metric.name: metric.value for metric in get_metrics_snapshot() if isinstance(metric, Counter)}
    return values.get("vllm:prefix_cache_queries", 0), values.get("vllm:prefix_cache_hits", 0)


def _simulated_hits(prompts: Sequence[Sequence[int]], plan: PrefixPlan) -> int:
    """Hits of the same token ids in the simulated cache."""
    cache, hits = PrefixCache(plan.engine_kv_tokens, ENGINE_BLOCK_TOKENS), 0
    for number, ids in enumerate(prompts):
        starts = range(0, len(ids), ENGINE_BLOCK_TOKENS)
        pieces = [tuple(ids[start : start + ENGINE_BLOCK_TOKENS]) for start in starts]
        hits += cache.serve([Segment(piece, len(piece)) for piece in pieces], Segment(("answer", number), 1))
    return hits
