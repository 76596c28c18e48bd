"""A disconnect frees the embedder and the reranker. test_vllm.py tests the generator's engine."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PASSAGE = "The spring tide comes twice a month, at full and at new moon. " * 12
# Over ten seconds of work, so only a cancellation can end it within one.
WORK: dict[str, tuple[str, dict[str, Any]]] = {
    "embed": ("/v1/embeddings", {"model": "ragserve", "input": [f"{n} {PASSAGE}" for n in range(2000)]}),
    "rerank": (
        "/v1/rerank",
        {"model": "ragserve", "query": "tide?", "documents": [f"{n} {PASSAGE}" for n in range(1000)]},
    ),
}


async def until_unfinished(http: httpx.AsyncClient, stage: str, is_reached: Any, limit_s: float) -> None:
    """Wait until `is_reached` accepts the stage's number of unfinished calls; fail after `limit_s`."""
    async with asyncio.timeout(limit_s):
        # The stage is in another process, so there is no event to wait for.
        while not is_reached((await http.get("/readyz")).json()["stages"][stage]["unfinished"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("stage", WORK)
async def test_a_disconnect_frees_the_stage_within_a_second(service: Service, stage: str) -> None:
    path, body = WORK[stage]
    address, content = urlsplit(service.url), json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"

    async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as http:
        # A plain connection, because client libraries may keep a socket open.
        _, connection = await asyncio.open_connection(address.hostname, address.port)
        connection.write(head.encode() + content)
        await connection.drain()
        await until_unfinished(http, stage, lambda count: count >= 1, limit_s=PATIENCE_S)

        connection.close()
        await connection.wait_closed()

        await until_unfinished(http, stage, lambda count: count == 0, limit_s=1)
