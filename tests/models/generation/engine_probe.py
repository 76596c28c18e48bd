"""What the tests of a real engine ask it, and the processes that it starts."""

import asyncio
from collections.abc import Callable

import psutil

from models.generation.vllm_model import VllmModel
from models.types.generation import GenerationDelta, GenerationRequest
from tests.patience import PATIENCE_S
from tests.processes import descendants

MAX_MODEL_LEN = 1024
MAX_TOKENS = 600


def children() -> set[psutil.Process]:
    """The processes of the engines that this process has started, without its other children, such as Milvus."""
    return {process for line, process in descendants() if line.startswith("VLLM::")}


async def collect(model: VllmModel, request: GenerationRequest) -> list[GenerationDelta]:
    return [delta async for delta in model.stream(request)]


async def until(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    """Returns once `condition` holds; TimeoutError after `limit_s`."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the engine has no event to wait for
            await asyncio.sleep(0.01)


def num_running_in_the_core() -> float:
    """What the engine's own process last said, as vLLM exports it to Prometheus."""
    from vllm.v1.metrics.reader import get_metrics_snapshot

    gauges = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    return sum(metric.value for metric in get_metrics_snapshot() if metric.name in gauges)
