"""A document that is ingested, found, deleted and no longer found, every few minutes: the whole path, with real parts.

It belongs to a tenant that no API key can have, so that no user sees it, and it makes no events.
"""

import asyncio
import logging
import random
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from deployments.telemetry.metrics.quality import DOCUMENT_CANARY_FAILING, DOCUMENT_CANARY_RUNS, DOCUMENT_CANARY_SECONDS
from models.corpus.corpus import Corpus
from models.deadline import Deadline
from models.errors.base import RagError
from models.types.request_context import RequestContext
from models.types.scope import CANARY_TENANT, DEFAULT_VECTOR_STORE, Scope
from serve.pipelines.retrieving import Mode, RetrievalOptions, RetrievalQuery, Retrieving
from serve.pipelines.understanding import NO_UNDERSTANDING
from serve.pipelines.wakeup import Wakeup
from serve.quality.config import CanaryConfig

LEFTOVER_S = 3600  # after it, housekeeping deletes the document of a killed process
POLL_S = 0.2
MIN_FAILURES = 2  # in a row, for the alert
CONFIRM_S = 10.0  # after a first failure: one run may meet a replica that is being replaced
TOP_K = 20  # other replicas may have a document there too
SINGLE_MODES: tuple[Mode, ...] = ("dense", "lexical")
logger = logging.getLogger(__name__)


class CanaryError(RagError):
    """The canary's path is broken. `step`: ingest, search, rerank or delete."""

    code = "canary_failed"

    def __init__(self, step: str, problem: str) -> None:
        super().__init__(step, problem)
        self.step, self.problem = step, problem

    def __str__(self) -> str:
        return f"{self.step}: {self.problem}"


@dataclass(frozen=True)
class CanaryRun:
    """The last run: `problem` is empty if it went well."""

    ended_at: datetime
    problem: str = ""


@dataclass(frozen=True)
class CanaryParts:
    """What the canary calls: the corpus, the request path for searches, and the worker's alarm clock."""

    corpus: Corpus
    retrieving: Callable[[], Retrieving]
    wake: Callable[[], None]


class DocumentCanary:
    """Runs the check of one process. `last` is None before the first run, and while it is off."""

    def __init__(self, config: CanaryConfig, parts: CanaryParts) -> None:
        self._config, self._parts = config, parts
        self._wakeup = Wakeup()
        self._num_failures = 0  # in a row
        self.last: CanaryRun | None = None

    def configure(self, config: CanaryConfig) -> None:
        """Takes effect at once."""
        if config == self._config:
            return
        self._config = config
        if config.every_s is None:
            self.last, self._num_failures = None, 0
            DOCUMENT_CANARY_FAILING.set(0)
        self._wakeup.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            every_s = self._config.every_s
            if every_s is not None:
                await self.check()
            await self._wakeup.wait(self._pause_s(every_s))

    def _pause_s(self, every_s: float | None) -> float:
        if every_s is None:
            return 3600.0
        return min(CONFIRM_S, every_s) if self._num_failures == 1 else every_s

    async def check(self) -> None:
        """One run. A failure is logged, counted and shown; it is not raised. The second one in a row sets the gauge."""
        step, problem, start = "ok", "", time.perf_counter()
        try:
            await self._run_once()
        except CanaryError as error:
            step, problem = error.step, str(error)
        except TimeoutError:
            step, problem = "error", f"not done within {self._config.timeout_s:g} s"
        except RagError as error:
            step, problem = "error", str(error)
        except (OSError, SQLAlchemyError) as error:
            # /readyz is open to all: no path and no SQL.
            step, problem = "error", f"{type(error).__name__}; the log has the details"
            logger.warning("the document canary met an error", exc_info=error)
        if problem:
            logger.warning("the document canary failed: %s", problem)
        DOCUMENT_CANARY_RUNS.labels(step).inc()
        DOCUMENT_CANARY_SECONDS.observe(time.perf_counter() - start)
        if self._config.every_s is not None:  # else it was turned off meanwhile
            self.last = CanaryRun(datetime.now(UTC), problem)
            self._num_failures = self._num_failures + 1 if problem else 0
            DOCUMENT_CANARY_FAILING.set(int(self._num_failures >= MIN_FAILURES))

    async def _run_once(self) -> None:
        """Ingest, find, delete, and do not find. Raises CanaryError, TimeoutError and what the parts raise."""
        word = "".join(random.choices(string.ascii_lowercase, k=12))
        files = self._parts.corpus.files
        async with asyncio.timeout(self._config.timeout_s):
            expires_at = int(files.clock()) + LEFTOVER_S
            text = f"The word of this canary is {word}.\n".encode()
            file = await asyncio.to_thread(
                files.add, CANARY_TENANT, f"canary-{word}.txt", text, "assistants", expires_at
            )
            try:
                await self._ingest(file.file_id)
                await self._find(word, file.file_id)
            finally:
                await asyncio.to_thread(files.delete, CANARY_TENANT, file.file_id)
            await self._find_no_more(word, file.file_id)

    async def _ingest(self, file_id: str) -> None:
        store_files = self._parts.corpus.store_files
        await asyncio.to_thread(store_files.attach, CANARY_TENANT, DEFAULT_VECTOR_STORE, file_id)
        self._parts.wake()
        while True:
            attached = await asyncio.to_thread(store_files.get, CANARY_TENANT, DEFAULT_VECTOR_STORE, file_id)
            if attached.status == "completed":
                return
            if attached.status != "in_progress":
                raise CanaryError("ingest", f"the file is {attached.status}")
            await asyncio.sleep(POLL_S)

    async def _find(self, word: str, file_id: str) -> None:
        """By each search alone, and by both with the reranker, with nothing left out."""
        for mode in SINGLE_MODES:
            if file_id not in await self._search(word, mode, rerank=False):
                raise CanaryError("search", f"the {mode} search does not find a document that is completed")
        if file_id not in await self._search(word, "hybrid", rerank=True):
            raise CanaryError("rerank", "the reranked search does not find a document that is completed")

    async def _find_no_more(self, word: str, file_id: str) -> None:
        for mode in SINGLE_MODES:
            if file_id in await self._search(word, mode, rerank=False):
                raise CanaryError("delete", f"the {mode} search finds a document that is deleted")

    async def _search(self, word: str, mode: Mode, rerank: bool) -> set[str]:
        """The ids of the files found. Raises CanaryError for a search that left a stage out."""
        options = RetrievalOptions(mode=mode, rerank=rerank, understanding=NO_UNDERSTANDING)
        scope = Scope(CANARY_TENANT, (DEFAULT_VECTOR_STORE,))
        deadline = Deadline.after(self._config.timeout_s)
        context = RequestContext(f"canary_{word}", CANARY_TENANT, deadline, use_caches=False)
        query = RetrievalQuery(f"What is the word of the canary {word}?", scope, TOP_K, options=options)
        retrieved = await self._parts.retrieving().retrieve(query, context)
        if retrieved.trace.degraded:
            step = "rerank" if rerank else "search"
            raise CanaryError(step, f"answers lack {', '.join(retrieved.trace.degraded)}")
        return {passage.file_id for passage in retrieved.passages}
