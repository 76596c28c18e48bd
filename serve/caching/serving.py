"""Who serves each stage now. A swap, a canary or a changed option of a stage must not be answered from a cache."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from models.catalog import Catalog
from models.deadline import Deadline
from models.errors.base import RagError
from models.registry import Task
from models.stage_status import StageStatus
from models.types.request_context import RequestContext
from serve.pipelines.stages import StatusSource

TASKS: dict[str, Task] = {"embed": "embedding", "rerank": "reranking", "generate": "generation"}
# A status costs a message to a replica. So an answer may be of a model that was replaced this long ago, as it may
# while several replicas swap one after the other.
MAX_AGE_S = 1.0
MAX_WAIT_S = 0.1  # of a question for a status; then it does without caches
STATUS_BUDGET_S = 2.0
# After a change, replicas that swap later and StoredTokenReranking (2 s) may answer as before, for this long.
SETTLE_S = 5.0


@dataclass(frozen=True)
class StageVersion:
    """What answers for a stage: the model's alias (empty: a stage without one) and all that its results depend on."""

    model: str
    options: str = ""


@dataclass
class _Reports:
    """What a stage has reported: its last status, and since when its version is the same."""

    version: StageVersion | None = None  # None: unknown
    at: float = -math.inf
    last_version: StageVersion | None = None
    last_status: StageVersion | None = None  # of the last status that a replica sent
    settled_at: float = -math.inf

    def add(self, version: StageVersion | None, now: float, is_status: bool) -> None:
        """`is_status` false: no replica answered."""
        if is_status:
            self.last_status = version
        if version is not None:
            if self.last_version not in (None, version):
                self.settled_at = now + SETTLE_S
            self.last_version = version
        self.version, self.at = version, now


class ReportedStatus:
    """A stage's status, which ServingStages learns from whoever asks for it. Satisfies StatusSource."""

    def __init__(self, source: StatusSource, report: Callable[[StageStatus | None], None]) -> None:
        self._source, self._report = source, report

    async def status(self, context: RequestContext) -> StageStatus:
        try:
            status = await self._source.status(context)
        except RagError:
            self._report(None)
            raise
        self._report(status)
        return status


class ServingStages:
    """The version of each stage, at most MAX_AGE_S old and for SETTLE_S the same. Belongs to one event loop.

    `sources` are the stages' statuses for all other readers. What they read is known here at once: after /readyz has
    named a new model, no answer of the old one comes from a cache of this process.
    """

    def __init__(
        self, sources: Mapping[str, StatusSource], catalog: Catalog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._clock = catalog, clock
        self._reports = {stage: _Reports() for stage in sources}
        self._refreshes: dict[str, asyncio.Task[None]] = {}  # owned here until they end
        self._started_at: dict[str, float] = {}
        self.sources: dict[str, StatusSource] = {
            stage: ReportedStatus(source, partial(self._report, stage)) for stage, source in sources.items()
        }

    async def versions(self, stages: Sequence[str]) -> dict[str, StageVersion] | None:
        """The version of each stage. None if one is unknown, has just changed, tries a canary, or has no model."""
        versions = await asyncio.gather(*map(self._version, stages))
        known_versions = {stage: version for stage, version in zip(stages, versions, strict=True) if version}
        return known_versions if len(known_versions) == len(stages) else None

    async def generator(self) -> str | None:
        """The generator's alias; None if it is unknown, changes, or tries a canary."""
        version = await self._version("generate")
        return version.model if version else None

    async def quoting_generator(self) -> str | None:
        """As `generator`. While no replica answers, the alias of the last status, so that quotes need no Generator."""
        version, reports = await self._version("generate"), self._reports.get("generate")
        if version is None and reports is not None and self._clock() >= reports.settled_at:
            version = reports.last_status
        return version.model if version else None

    def last_model(self, stage: str) -> str | None:
        """The alias that the stage last reported, also while it is down; None if it never did."""
        reports = self._reports.get(stage)
        return reports.last_version.model if reports is not None and reports.last_version is not None else None

    def expire(self) -> None:
        """Read every status again before the next use: an answer named another model."""
        for reports in self._reports.values():
            reports.at, reports.last_status = -math.inf, None

    def is_extractive(self, alias: str) -> bool:
        """Whether this generation model gives equal requests equal answers, whatever their sampling."""
        return alias in self._catalog.entries["generation"] and self._catalog.only_quotes(alias)

    async def quotes(self) -> bool:
        """Whether the generator's model only quotes; False if it is unknown, changes, or tries a canary."""
        alias = await self.generator()
        return alias is not None and self.is_extractive(alias)

    async def close(self) -> None:
        refreshes = list(self._refreshes.values())
        for refresh in refreshes:
            refresh.cancel()
        await asyncio.gather(*refreshes, return_exceptions=True)

    async def _version(self, stage: str) -> StageVersion | None:
        if stage not in self.sources:
            return None
        if not self._is_fresh(stage):
            await self._refresh(stage)
        reports = self._reports[stage]
        return reports.version if self._is_fresh(stage) and self._clock() >= reports.settled_at else None

    def _is_fresh(self, stage: str) -> bool:
        return self._clock() - self._reports[stage].at <= MAX_AGE_S

    async def _refresh(self, stage: str) -> None:
        """Wait for a new status, but not for one that others have waited for in vain."""
        if stage not in self._refreshes:
            self._started_at[stage] = self._clock()
            self._refreshes[stage] = asyncio.get_running_loop().create_task(self._read(stage))
        wait_s = self._started_at[stage] + MAX_WAIT_S - self._clock()
        if wait_s > 0:
            await asyncio.wait({self._refreshes[stage]}, timeout=wait_s)

    async def _read(self, stage: str) -> None:
        try:
            await self.sources[stage].status(RequestContext("caches", "", Deadline.after(STATUS_BUDGET_S)))
        except RagError:
            pass  # reported as unknown
        finally:
            del self._refreshes[stage]

    def _report(self, stage: str, status: StageStatus | None) -> None:
        self._reports[stage].add(self._to_version(stage, status), self._clock(), status is not None)

    def _to_version(self, stage: str, status: StageStatus | None) -> StageVersion | None:
        if status is None or status.canary or (stage in TASKS and not status.model):
            return None
        # An alias may mean another entry of the catalog after a restart, and Redis remembers longer.
        entry = self._catalog.entries[TASKS[stage]].get(status.model) if stage in TASKS else None
        return StageVersion(status.model, f"{status.options} {entry!r}")
