"""A client that disconnects before its response."""

import asyncio

import pytest
from fastapi import Request

from serve.api.disconnect import ClientDisconnectedError, cancel_on_disconnect


async def test_an_answer_that_is_complete_when_its_client_has_gone_is_not_used() -> None:
    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def answer() -> str:
        return "An answer."

    with pytest.raises(ClientDisconnectedError):
        await cancel_on_disconnect(Request({"type": "http"}, receive), answer())


async def test_the_answer_of_a_client_that_waits_is_used() -> None:
    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def answer() -> str:
        return "An answer."

    assert await cancel_on_disconnect(Request({"type": "http"}, receive), answer()) == "An answer."
