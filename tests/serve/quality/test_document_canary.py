"""The canary goes through real parts, fails when a part is broken, and leaves nothing that a user could see."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from models.corpus.records import PageRequest
from models.errors.requests import UnreadableDocumentError
from models.errors.stages import StageUnavailableError
from models.index.follow import LexicalRequest
from models.types.chunks import ParsedFile
from models.types.ranking import LexicalRanking, Ranking
from models.types.request_context import RequestContext
from models.types.scope import CANARY_TENANT
from serve.access.keys import TENANT
from serve.quality.config import CanaryConfig
from serve.quality.document_canary import DocumentCanary
from serve.settings import Settings
from tests.inline import Failing, InlineParser
from tests.patience import PATIENCE_S
from tests.serve.api.response_samples import Service, serving

ON = {"quality": {"canary": {"every_s": 5, "timeout_s": 200}}}


class Frozen:
    """A keyword index that has lost its documents."""

    async def search(self, request: LexicalRequest, context: RequestContext) -> LexicalRanking:
        return LexicalRanking(Ranking.empty(), {})


class Illiterate(InlineParser):
    """A parser that reads no file."""

    async def parse(self, content: bytes, filename: str, *_: object) -> ParsedFile:
        raise UnreadableDocumentError(filename, "invalid_file", "no text")


@asynccontextmanager
async def watched(folder: Path, **replaced: Any) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    settings = Settings.model_validate(ON)
    async with serving(folder, settings, **replaced) as service, service.http() as http:
        yield service, http


async def last_run(http: httpx.AsyncClient) -> dict[str, Any]:
    """The canary's last run, once there is one."""
    async with asyncio.timeout(PATIENCE_S):
        while (run := (await http.get("/readyz")).json()["document_canary"]) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return dict(run)


async def test_without_a_setting_there_is_no_canary(tmp_path: Path) -> None:
    async with serving(tmp_path) as service, service.http() as http:
        assert (await http.get("/readyz")).json()["document_canary"] is None
        assert service.live.current.corpus.files.page(CANARY_TENANT, PageRequest()).items == ()


async def test_a_healthy_service_passes_and_no_user_sees_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as (service, http):
        service.live.current.corpus.outbox.register(["webhook"])
        await service.live.current.canary.check()
        run = await last_run(http)

        assert (run["ok"], run["problem"]) == (True, None)
        assert [file["id"] for file in (await http.get("/v1/files")).json()["data"]] == [service.file_id]
        search = await http.post("/v1/vector_stores/default/search", json={"query": "word of this canary"})
        assert {result["file_id"] for result in search.json()["data"]} <= {service.file_id}
        assert service.live.current.corpus.outbox.size("webhook").num_events == 0
    assert service.live.current.corpus.files.page(CANARY_TENANT, PageRequest()).items == ()
    assert REGISTRY.get_sample_value("ragserve_document_canary_failing") == 0
    assert not re.fullmatch(TENANT, CANARY_TENANT)


@pytest.mark.parametrize(
    ("replaced", "problem"),
    [
        ({"lexical": Frozen()}, "search: the lexical search does not find a document that is completed"),
        ({"dense": Failing(StageUnavailableError("search"))}, "no replica of the search stage can answer"),
        ({"parser": Illiterate()}, "ingest: the file is failed"),
    ],
)
async def test_a_broken_part_fails_the_canary_and_is_named(
    tmp_path: Path, replaced: dict[str, Any], problem: str
) -> None:
    async with watched(tmp_path, **replaced) as (service, http):
        run = await last_run(http)

        assert run["ok"] is False
        assert problem in run["problem"]
        assert (await http.get("/readyz")).json()["ready"] is True
        assert service.live.current.corpus.files.page(CANARY_TENANT, PageRequest()).items == ()


async def test_the_second_failure_in_a_row_is_one_for_the_alert(tmp_path: Path) -> None:
    async with serving(tmp_path, lexical=Frozen()) as service:
        canary = DocumentCanary(CanaryConfig(every_s=300, timeout_s=200), service.live.current.canary._parts)
        failing = []
        for _ in range(2):
            await canary.check()
            failing.append(REGISTRY.get_sample_value("ragserve_document_canary_failing"))

        assert failing == [0, 1]


async def test_the_canarys_tokens_are_no_tenants(tmp_path: Path) -> None:
    async with watched(tmp_path) as (_, http):
        assert (await last_run(http))["ok"]
        page = (await http.get("/metrics")).text

    assert "ragserve_document_canary_runs_total" in page
    assert 'tenant="canary:' not in page


async def test_a_database_that_fails_is_a_failed_run_and_no_crash(tmp_path: Path) -> None:
    async with watched(tmp_path) as (service, http):
        await last_run(http)
        with service.live.current.corpus.database.writing() as connection:
            connection.execute(text("ALTER TABLE files RENAME TO lost_files"))

        await service.live.current.canary.check()

        run = (await http.get("/readyz")).json()["document_canary"]
        assert (run["ok"], run["problem"]) == (False, "OperationalError; the log has the details")
        with service.live.current.corpus.database.writing() as connection:
            connection.execute(text("ALTER TABLE lost_files RENAME TO files"))


async def test_the_canary_is_turned_off_while_the_service_runs(tmp_path: Path) -> None:
    async with watched(tmp_path) as (service, http):
        await last_run(http)

        service.live.configure({"quality": {"canary": {"every_s": None}}})

        assert (await http.get("/readyz")).json()["document_canary"] is None
