"""A client that leaves before its answer, and what a stage says about the calls that it has then."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import PATIENCE_S


class WatchedStage:
    """A stage of the service at `url`, as its readiness and its metrics show it."""

    def __init__(self, http: httpx.AsyncClient, name: str) -> None:
        self._http, self._name = http, name

    async def num_cancelled(self) -> float:
        """Calls that its replicas did not finish because their callers left, and for no other reason."""
        labels = {"stage": self._name, "reason": "cancelled"}
        families = text_string_to_metric_families((await self._http.get("/metrics")).text)
        samples = [sample for family in families for sample in family.samples]
        dropped = [sample for sample in samples if sample.name == "ragserve_stage_dropped_total"]
        return sum(sample.value for sample in dropped if labels.items() <= sample.labels.items())

    async def until_unfinished(self, is_reached: Callable[[int], bool]) -> None:
        """Wait until `is_reached` accepts the number of its unfinished calls."""
        async with asyncio.timeout(PATIENCE_S):
            # The stage is in another process, so there is no event to wait for.
            while not is_reached((await self._http.get("/readyz")).json()["stages"][self._name]["unfinished"]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def until_cancelled(self, num_cancelled: float) -> None:
        """Wait until so many calls were cancelled. One that ends by itself, or at its deadline, is none of them."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.num_cancelled() < num_cancelled:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@asynccontextmanager
async def watched(url: str, stage: str) -> AsyncIterator[WatchedStage]:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
        yield WatchedStage(http, stage)


async def post_without_reading(url: str, path: str, body: dict[str, Any]) -> asyncio.StreamWriter:
    """Send a request on a plain connection, because client libraries may keep a socket open."""
    address, content = urlsplit(url), json.dumps(body).encode()
    _, connection = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.write(head.encode() + content)
    await connection.drain()
    return connection
