"""Replicas that answer a call after the other, and callers who keep them busy: see deployments/test_routing.py."""

import asyncio
import os
import time
from collections import deque
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments.calls.client import StageClient
from deployments.calls.ray_handle import RayHandle
from tests.contexts import within

CALLERS, WORK_S, SECONDS = 40, 0.02, 4.0


class OneByOne:
    """A call after the other. Says who answers, and how often it has had nothing to do."""

    def __init__(self) -> None:
        self._queue: deque[asyncio.Future[None]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._num_dry = 0

    async def ask(self) -> tuple[int, int]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(answer)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        await answer
        return os.getpid(), self._num_dry

    async def _work(self) -> None:
        while self._queue:
            await asyncio.sleep(WORK_S)
            self._queue.popleft().set_result(None)
        self._num_dry += 1


class Callers:
    """In a replica of their own, where handles run as they do in the ingress."""

    def __init__(self, stage: DeploymentHandle[Any]) -> None:
        self._handle = RayHandle(stage)
        self._client = StageClient(self._handle, "one-by-one")
        self._seen: list[tuple[int, int]] = []

    async def drive(self) -> list[tuple[int, int]]:
        """What replicas said in the second half, when all callers had been asking for a while."""
        end = time.monotonic() + SECONDS
        await asyncio.gather(*(self._ask_until(end) for _ in range(CALLERS)))
        return self._seen

    async def num_replicas(self) -> int:
        """As second calls count them."""
        return self._handle.num_replicas

    async def _ask_until(self, end: float) -> None:
        while time.monotonic() < end:
            answer = await self._client.call("ask", context=within(60))
            if end - SECONDS / 2 < time.monotonic() < end:
                self._seen.append(answer)
