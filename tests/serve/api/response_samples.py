"""The composed application over one file, with clocks and stages that a test may replace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
from fastapi import FastAPI

from models.catalog import Catalog
from models.corpus.corpus import Corpus
from serve.live_services import LiveServices
from serve.settings import Settings
from tests.inline import ExtractiveGenerator, ingest, inline_clients
from tests.serve.api.api_samples import URL, Clock

OVENS = "# Ovens\n\nThe oven heats to 250 degrees.\n\nThe oven is cleaned with warm vinegar.\n"


@dataclass(frozen=True)
class Service:
    """A running application, its clock, and the id of its file."""

    app: FastAPI
    clock: Clock
    file_id: str
    live: LiveServices

    def openai_client(self, key: str = "any") -> openai.AsyncOpenAI:
        http_client = openai.DefaultAsyncHttpxClient(transport=httpx2.ASGITransport(app=self.app))
        return openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, http_client=http_client, max_retries=0)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=URL)


@asynccontextmanager
async def serving(
    folder: Path, settings: Settings | None = None, is_new: bool = True, text: str = OVENS, **replaced: Any
) -> AsyncIterator[Service]:
    """The application, with some clients `replaced` by name. With `is_new`, it gets its file first."""
    clock = Clock()
    corpus = Corpus.open(f"sqlite:///{folder / 'corpus.db'}", folder / "files", clock)
    file_id = await ingest(corpus, "ovens.md", text.encode()) if is_new else ""
    clients = inline_clients(corpus)
    # A generator of a test must not be taken for one that quotes, which is not called: see InProcessQuotes.
    reporting = {} if replaced else {"generate": clients.generator}
    if hasattr(replaced.get("generator"), "status") and not isinstance(replaced["generator"], ExtractiveGenerator):
        reporting = {"generate": replaced["generator"]}
    clients = replace(clients, statuses={**clients.statuses, **reporting})
    clients = replace(clients, **replaced)
    live = LiveServices(settings or Settings(), Catalog.open(None), corpus, clients)
    async with live.app.router.lifespan_context(live.app):
        yield Service(live.app, clock, file_id, live)


async def events_of(stream: Any) -> list[Any]:
    return [event async for event in stream]


def text_of(item: Any) -> str:
    return "".join(part.text for part in item.content)
