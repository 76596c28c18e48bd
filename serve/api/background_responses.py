"""Responses that are written in the background: their tasks, which live as long as the process."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from models.errors import OverloadedError


class BackgroundResponses:
    """Owns the tasks, by tenant and response. `close` cancels them."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def check_room(self, max_tasks: int) -> None:
        """Raises OverloadedError if as many responses are being written."""
        if len(self._tasks) >= max_tasks:
            raise OverloadedError("background")

    def start(self, tenant: str, response_id: str, work: Coroutine[Any, Any, None]) -> None:
        key = (tenant, response_id)
        task = self._tasks[key] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def cancel(self, tenant: str, response_id: str) -> None:
        """Stop the work. A task of another process goes on, and its answer is dropped."""
        if task := self._tasks.get((tenant, response_id)):
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
