"""A disconnect frees the embedder and the reranker. test_vllm.py tests the generator's engine."""

import asyncio
from typing import Any

import pytest

from tests.conftest import Service
from tests.e2e.disconnecting_client import post_without_reading, watched

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PASSAGE = "The spring tide comes twice a month, at full and at new moon. " * 12
WORK: dict[str, tuple[str, dict[str, Any]]] = {
    "embed": ("/v1/embeddings", {"model": "ragserve", "input": [f"{n} {PASSAGE}" for n in range(2000)]}),
    "rerank": (
        "/v1/rerank",
        {"model": "ragserve", "query": "tide?", "documents": [f"{n} {PASSAGE}" for n in range(1000)]},
    ),
}
NUM_CLIENTS = 3  # over half a minute of work on two cores: however fast the machine, some is left at the disconnect


@pytest.mark.parametrize("stage", WORK)
async def test_a_disconnect_frees_the_stage(service: Service, stage: str) -> None:
    path, body = WORK[stage]
    async with watched(service.url, stage) as watcher:
        num_before = await watcher.num_cancelled()
        requests = [post_without_reading(service.url, path, body) for _ in range(NUM_CLIENTS)]
        connections = await asyncio.gather(*requests)
        await watcher.until_unfinished(lambda count: count >= 1)

        for connection in connections:
            connection.close()
            await connection.wait_closed()

        await watcher.until_cancelled(num_before + 1)
        await watcher.until_unfinished(lambda count: count == 0)
