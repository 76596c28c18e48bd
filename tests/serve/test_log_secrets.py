"""With debugging on in every library, no line has a question, a text of a document or a key."""

import hashlib
import logging
from pathlib import Path

import pytest

from deployments.calls.inline import InlineHandle
from deployments.generator import Generator, GeneratorClient
from models.catalog import Catalog
from serve.settings import ApiConfig, Settings
from tests.serve.test_live_services import serving

KEY, WRONG_KEY, WORD = "sk-quokka-key", "sk-wombat-key", "zanzibar"
QUESTION = f"When does the {WORD} tide come?"
BODIES = {
    "/v1/query": {"query": QUESTION},
    "/v1/chat/completions": {"model": "ragserve", "messages": [{"role": "user", "content": QUESTION}]},
    "/v1/responses": {"model": "ragserve", "input": QUESTION},
    "/v1/embeddings": {"model": "hashing", "input": [WORD]},
    "/v1/rerank": {"model": "shortest-first", "query": WORD, "documents": [WORD]},
    "/v1/vector_stores/default/search": {"query": QUESTION},
}


def everything(record: logging.LogRecord) -> str:
    """The message, its arguments and fields, and the traceback."""
    return f"{logging.Formatter().format(record)} {vars(record)}"


async def test_a_debugged_service_logs_no_text_and_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = tmp_path / "keys.yaml"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys.write_text(f"acme: [{digest}]\n")
    handle = InlineHandle(Generator(Catalog.open(None)), {})
    await handle.start()
    caplog.set_level(logging.DEBUG)
    settings = Settings(api=ApiConfig(keys_file=keys))
    async with serving(tmp_path, settings, generator=GeneratorClient(handle, "generate")) as (_, http):
        http.headers["authorization"] = f"Bearer {KEY}"
        form = {"file": ("tides.md", f"The {WORD} tide comes twice a month.".encode())}
        await http.post("/v1/files", files=form, data={"purpose": "assistants"})
        for path, body in BODIES.items():
            assert (await http.post(path, json=body)).status_code == 200, path
            await http.post(path, json={**body, "model": WORD, "unknown": WORD})
            await http.post(path, json=body, headers={"authorization": f"Bearer {WRONG_KEY}"})

    lines = [everything(record) for record in caplog.records]
    assert len(lines) > len(BODIES)
    secrets = (WORD, KEY, WRONG_KEY, digest)
    assert [line for line in lines if any(secret in line for secret in secrets)] == []
