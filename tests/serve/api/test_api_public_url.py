"""URLs in answers: of the configured address, never of a Host header that was not checked."""

from pathlib import Path
from typing import Any

import pytest

from serve.settings import Settings
from tests.serve.api.response_samples import Service, serving

BODY = {"model": "ragserve", "messages": [{"role": "user", "content": "How hot does the oven get?"}]}


async def urls(service: Service, host: str) -> list[str]:
    async with service.http() as http:
        message = (await http.post("/v1/chat/completions", json=BODY, headers={"host": host})).json()["choices"][0]
    return [each["url_citation"]["url"] for each in message["message"]["annotations"]]


@pytest.mark.parametrize(
    ("api", "base"),
    [
        ({}, ""),
        ({"allowed_hosts": ["evil.example"]}, "http://evil.example"),  # it is allowed
        ({"public_url": "https://ask.example.com/"}, "https://ask.example.com"),
        ({"public_url": "https://ask.example.com", "allowed_hosts": ["evil.example"]}, "https://ask.example.com"),
    ],
)
async def test_the_caller_does_not_choose_the_address(tmp_path: Path, api: dict[str, Any], base: str) -> None:
    async with serving(tmp_path, Settings.model_validate({"api": api})) as service:
        citations = await urls(service, "evil.example")

    assert citations
    assert all(url.startswith(f"{base}/v1/files/{service.file_id}/text#char=") for url in citations), citations
