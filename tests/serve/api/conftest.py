from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.serve.api.api_samples import Clock, Running, running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(tmp_path: Path, clock: Clock) -> AsyncIterator[Running]:
    async with running(tmp_path, clock) as started:
        yield started


@pytest.fixture
async def client(service: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with service.openai_client("any") as opened:
        yield opened


@pytest.fixture
async def http(service: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with service.http() as opened:
        yield opened
