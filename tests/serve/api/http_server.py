"""The application behind a real port."""

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import uvicorn

from deployments.cluster.environment import free_port
from serve.settings import Settings
from tests.calling_model import calling_generator
from tests.patience import PATIENCE_S
from tests.remote_server import ScriptedServer
from tests.serve.api.response_samples import serving


class Server:
    """The application in a thread, with a loop of its own. `model` answers in place of the extractive one."""

    def __init__(
        self,
        folder: Path,
        model_aliases: dict[str, str] | None = None,
        model: ScriptedServer | None = None,
        settings: Settings | None = None,
    ) -> None:
        """`settings` other than the aliases, if given."""
        self.port, self._folder, self._model = free_port(), folder, model
        self._settings = settings or Settings.model_validate({"api": {"model_aliases": model_aliases or {}}})
        self._started, self._loop, self._stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(PATIENCE_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            replaced = {}
            if self._model is not None:
                replaced["generator"] = await stack.enter_async_context(calling_generator(self._model))
            service = await stack.enter_async_context(serving(self._folder, self._settings, **replaced))
            config = uvicorn.Config(service.app, port=self.port, log_level="error", ws="none", lifespan="off")
            server = uvicorn.Server(config)
            task = asyncio.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            self._started.set()
            await self._stop.wait()
            server.should_exit = True
            await task
