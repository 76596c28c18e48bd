"""What the routes work with: one object on the application's state, and the caller's tenant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request

from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.types import DEFAULT_TENANT, Deadline, StageStatus
from serve.pipelines.ingest import IngestWorker
from serve.pipelines.query import QueryPipeline
from serve.settings import Settings


class StatusSource(Protocol):
    async def status(self, deadline: Deadline) -> StageStatus:
        """Raises if no replica of the stage can answer."""


@dataclass(frozen=True)
class Services:
    settings: Settings
    catalog: Catalog
    corpus: Corpus
    query: QueryPipeline
    ingest: IngestWorker
    stages: Mapping[str, StatusSource]


def _services(request: Request) -> Services:
    return request.app.state.services


def _request_id(request: Request) -> str:
    return request.state.request_id


def _tenant() -> str:
    # Until callers carry credentials there is one tenant; everything below already takes it as an argument.
    return DEFAULT_TENANT


ServicesDep = Annotated[Services, Depends(_services)]
TenantDep = Annotated[str, Depends(_tenant)]
RequestIdDep = Annotated[str, Depends(_request_id)]
