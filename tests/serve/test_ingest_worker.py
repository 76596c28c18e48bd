"""The ingest path over a real corpus, without Ray: jobs that complete, are retried, fail, and change hands."""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import event

from models.corpus.corpus import Corpus
from models.corpus.jobs import MAX_ATTEMPTS
from models.corpus.records import StoreFile
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.model_failures import UnusableVectorError
from models.errors.stages import DeadlineExceededError, InternalError, StageUnavailableError
from models.stage_status import StageStatus
from models.types.chunks import ParsedFile
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext
from models.types.stage_results import Embeddings
from serve.pipelines.ingest import IngestConfig, IngestPipeline
from serve.pipelines.ingest_worker import IngestWorker
from tests.inline import InlineEmbedder, InlineParser, open_corpus
from tests.patience import PATIENCE_S
from tests.token_hashing import TokenHashingModel

CONFIG = IngestConfig(poll_s=0.02, retry_s=0.01, max_retry_s=0.05, concurrency=2)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return open_corpus(tmp_path)


class FailsFirst(InlineEmbedder):
    """An embedder that fails `num_failures` times before it works."""

    def __init__(self, error: BaseException, num_failures: int) -> None:
        super().__init__()
        self.error, self.num_failures, self.num_calls = error, num_failures, 0
        self.contexts: list[RequestContext] = []

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        self.num_calls += 1
        self.contexts.append(context)
        if self.num_calls <= self.num_failures:
            raise self.error
        return await super().embed_documents(texts, context, generation, with_tokens)


class Hanging(InlineEmbedder):
    """An embedder that never answers, and sets an event when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.cancelled = asyncio.Event(), asyncio.Event()

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError("unreachable")


def attach(corpus: Corpus, filename: str = "a.md", content: bytes = b"# Title\n\nSome text.\n") -> str:
    file = corpus.files.add("default", filename, content, "assistants")
    corpus.store_files.attach("default", "default", file.file_id)
    return file.file_id


def state(corpus: Corpus, file_id: str) -> StoreFile:
    return corpus.store_files.get("default", "default", file_id)


@asynccontextmanager
async def working(corpus: Corpus, embedder: InlineEmbedder) -> AsyncIterator[IngestWorker]:
    worker = IngestWorker(IngestPipeline(InlineParser(), embedder, corpus, CONFIG), corpus, CONFIG)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110, the condition is in the database
            await asyncio.sleep(0.01)


async def test_an_attached_file_becomes_searchable(corpus: Corpus) -> None:
    async with working(corpus, InlineEmbedder()) as worker:
        file_id = attach(corpus)
        worker.wake()

        await until(lambda: state(corpus, file_id).status == "completed")

    assert corpus.files.text("default", file_id) == "Title\n\nSome text."


async def test_jobs_of_another_process_are_found_without_being_woken(corpus: Corpus) -> None:
    async with working(corpus, InlineEmbedder()):
        file_id = attach(corpus)

        await until(lambda: state(corpus, file_id).status == "completed")


async def test_an_unreadable_file_fails_with_its_reason(corpus: Corpus) -> None:
    file_id = attach(corpus, "broken.pdf", b"%PDF-1.7 and then nothing")

    async with working(corpus, InlineEmbedder()):
        await until(lambda: state(corpus, file_id).status == "failed")

    assert state(corpus, file_id).last_error_code == "invalid_file"


async def test_every_line_of_a_job_names_its_file_and_the_id_that_stages_log(
    corpus: Corpus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "serve.pipelines.ingest_worker")
    damaged, retried = attach(corpus, "damaged.pdf", b"%PDF-1.7 and then nothing"), attach(corpus)
    embedder = FailsFirst(OverloadedError("embed"), num_failures=1)

    async with working(corpus, embedder):
        await until(lambda: all(text in caplog.text for text in ("failed for good: invalid_file", "is completed")))

    lines = [record for record in caplog.records if hasattr(record, "file_id")]
    assert [line.levelname for line in lines if line.file_id == damaged] == ["INFO"]
    assert [line.levelname for line in lines if line.file_id == retried] == ["WARNING", "INFO"]
    ids = {line.request_id for line in lines if line.file_id == retried}
    assert ids == {context.request_id for context in embedder.contexts}


async def test_an_overloaded_stage_is_retried_without_limit(corpus: Corpus) -> None:
    file_id = attach(corpus)
    embedder = FailsFirst(OverloadedError("embed"), num_failures=8)

    async with working(corpus, embedder):
        await until(lambda: state(corpus, file_id).status == "completed")

    assert embedder.num_calls == 9


async def test_ingestion_is_background_work_of_the_files_tenant(corpus: Corpus) -> None:
    file_id, embedder = attach(corpus), FailsFirst(OverloadedError("embed"), num_failures=0)

    async with working(corpus, embedder):
        await until(lambda: state(corpus, file_id).status == "completed")

    (context,) = embedder.contexts
    assert (context.tenant, context.priority) == ("default", BACKGROUND_PRIORITY)
    assert 0 < context.remaining_s() <= IngestConfig().file_budget_s


@pytest.mark.parametrize(
    "error", [StageUnavailableError("parse"), InternalError("parse")], ids=lambda error: error.code
)
async def test_a_file_that_always_breaks_a_stage_fails(corpus: Corpus, error: RagError) -> None:
    file_id = attach(corpus)
    embedder = FailsFirst(error, num_failures=100)

    async with working(corpus, embedder):
        await until(lambda: state(corpus, file_id).status == "failed")

    # The first attempt sends the texts a second time, by themselves; later ones send them by themselves at once.
    assert (state(corpus, file_id).last_error_code, embedder.num_calls) == ("server_error", 6)


class DownFirst(InlineEmbedder):
    """An embedder that does not answer its first `num_probes` probes, as if it had no replica."""

    def __init__(self, num_probes: int, error: RagError) -> None:
        super().__init__()
        self.num_probes, self.error = num_probes, error

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        if self.num_probes > 0:
            raise self.error
        return await super().embed_documents(texts, context, generation, with_tokens)

    async def status(self, context: RequestContext) -> StageStatus:
        self.num_probes -= 1
        if self.num_probes >= 0:
            raise StageUnavailableError("embed")
        return await super().status(context)


@pytest.mark.parametrize("content", [b"# Title\n\nSome text.\n", b"word " * 20_000], ids=["small", "large"])
@pytest.mark.parametrize("error", [StageUnavailableError("embed"), DeadlineExceededError("embed", 1)], ids=type)
async def test_a_stage_that_is_down_costs_no_attempt(corpus: Corpus, error: RagError, content: bytes) -> None:
    file_id = attach(corpus, content=content)
    embedder = DownFirst(num_probes=MAX_ATTEMPTS + 2, error=error)

    async with working(corpus, embedder):
        await until(lambda: state(corpus, file_id).status == "completed")

    assert embedder.num_probes <= 0


@pytest.mark.parametrize(
    "error", [InternalError("embed"), UnusableVectorError("embed", "remote", "0")], ids=lambda error: error.code
)
async def test_the_last_failure_names_its_reason_and_attempts(corpus: Corpus, error: RagError) -> None:
    file_id = attach(corpus)

    async with working(corpus, FailsFirst(error, num_failures=100)):
        await until(lambda: state(corpus, file_id).status == "failed")

    failure = state(corpus, file_id).failure
    assert failure is not None
    assert (failure.reason, failure.num_attempts) == (error.code, MAX_ATTEMPTS)


async def test_a_broken_file_gets_one_attempt(corpus: Corpus) -> None:
    file_id = attach(corpus, "broken.pdf", b"%PDF-1.7 and then nothing")

    async with working(corpus, InlineEmbedder()):
        await until(lambda: state(corpus, file_id).status == "failed")

    failure = state(corpus, file_id).failure
    assert failure is not None
    assert (failure.reason, failure.num_attempts) == ("invalid_file", 1)


async def test_a_deleted_file_is_cancelled_in_its_stage(corpus: Corpus) -> None:
    file_id, embedder = attach(corpus), Hanging()

    async with working(corpus, embedder):
        await embedder.asked.wait()
        corpus.files.delete("default", file_id)

        await asyncio.wait_for(embedder.cancelled.wait(), PATIENCE_S)


async def test_a_large_file_shows_its_embedded_chunks(corpus: Corpus) -> None:
    file_id, embedder = attach(corpus, content=b"word " * 40_000 + b"Endless"), HangsOn("Endless")

    async with working(corpus, embedder):
        await embedder.asked.wait()
        await until(lambda: (progress := state(corpus, file_id).progress) is not None and progress.num_embedded > 0)

    progress = state(corpus, file_id).progress
    assert progress is not None
    assert progress.state == "queued"  # its worker has stopped


async def test_metrics_tell_the_age_of_a_stuck_parser(corpus: Corpus) -> None:
    attach(corpus)

    def age_s() -> float | None:
        return REGISTRY.get_sample_value("ragserve_ingestion_oldest_seconds", {"state": "parsing"})

    worker = IngestWorker(IngestPipeline(StuckParser(), InlineEmbedder(), corpus, CONFIG), corpus, CONFIG)
    task = asyncio.create_task(worker.run())
    await until(lambda: (age_s() or 0) > 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class StuckParser(InlineParser):
    """A parser that never answers."""

    async def parse(self, *_: object) -> ParsedFile:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


class DiesOf(InlineEmbedder):
    """An embedder that dies of any page with the word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word, self.pages = word, list[list[str]]()

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        self.pages.append(texts)
        await asyncio.sleep(0)
        if any(self.word in text for text in texts):
            raise StageUnavailableError("embed")
        return await super().embed_documents(texts, context, generation, with_tokens)


class DiesOnce(DiesOf):
    """An embedder that dies with its first two pages in work."""

    def __init__(self) -> None:
        super().__init__("nothing")
        self.both = asyncio.Barrier(2)

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        embedded = await super().embed_documents(texts, context, generation, with_tokens)
        if len(self.pages) <= 2:
            await self.both.wait()
            raise StageUnavailableError("embed")
        return embedded


async def test_an_embedder_that_dies_costs_no_file_an_attempt(corpus: Corpus) -> None:
    file_ids = [attach(corpus, f"{number}.md", f"# File {number}\n\nText.".encode()) for number in range(12)]
    embedder = DiesOnce()

    async with working(corpus, embedder):
        await until(lambda: all(state(corpus, file_id).status == "completed" for file_id in file_ids))

    assert max(job_attempts(embedder)) == 2  # with the first page and once by itself: no attempt was begun again


def job_attempts(embedder: DiesOf) -> list[int]:
    """How often each text was sent."""
    return list(Counter(text for page in embedder.pages for text in page).values())


async def test_a_file_that_kills_the_embedder_fails_alone(corpus: Corpus) -> None:
    file_ids = [attach(corpus, f"{number}.md", f"# File {number}\n\nText.".encode()) for number in range(6)]
    harmful = attach(corpus, "harmful.md", b"# Harmful\n\nA deadly text.")

    async with working(corpus, DiesOf("deadly")):
        await until(lambda: state(corpus, harmful).status == "failed")

    assert {state(corpus, file_id).status for file_id in file_ids} == {"completed"}


async def test_a_small_file_does_not_wait_for_large_ones(corpus: Corpus) -> None:
    for number in range(CONFIG.concurrency + 1):
        attach(corpus, f"book {number}.md", f"# Endless {number}\n\n{'word ' * 20_000}".encode())
    embedder = HangsOn("Endless")

    async with working(corpus, embedder) as worker:
        await embedder.asked.wait()
        file_id = attach(corpus)
        worker.wake()

        await until(lambda: state(corpus, file_id).status == "completed")


class HangsOn(InlineEmbedder):
    """An embedder that never answers a page with the word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word, self.asked = word, asyncio.Event()

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        if any(self.word in text for text in texts):
            self.asked.set()
            await asyncio.Event().wait()
        return await super().embed_documents(texts, context, generation, with_tokens)


async def test_small_files_of_one_tenant_leave_places_for_another(corpus: Corpus) -> None:
    many = [attach(corpus, f"{number}.md", b"# Endless\n\n" + b"word " * 6_000) for number in range(30)]
    embedder = HangsOn("Endless")

    async with working(corpus, embedder):
        await embedder.asked.wait()
        file = corpus.files.add("tenant-b", "b.md", b"# Title\n\nSome text.", "assistants")
        corpus.store_files.attach("tenant-b", "default", file.file_id)

        await until(lambda: corpus.store_files.get("tenant-b", "default", file.file_id).status == "completed")

    assert {state(corpus, file_id).status for file_id in many} == {"in_progress"}


async def test_a_file_detached_in_mid_ingestion_leaves_nothing(corpus: Corpus) -> None:
    file_id = attach(corpus)
    embedder = Hanging()

    async with working(corpus, embedder):
        await embedder.asked.wait()
        corpus.store_files.detach("default", "default", file_id)

    assert len(corpus.views.text_changes("default", "default", 0).added_keys) == 0


async def test_a_stopped_worker_releases_its_jobs_at_once(corpus: Corpus) -> None:
    file_id = attach(corpus)
    embedder = Hanging()
    async with working(corpus, embedder):
        await embedder.asked.wait()

    async with working(corpus, InlineEmbedder()):
        await until(lambda: state(corpus, file_id).status == "completed")


async def test_a_bug_fails_its_file_and_spares_the_worker(corpus: Corpus) -> None:
    file_id = attach(corpus)
    async with working(corpus, FailsFirst(ZeroDivisionError("a bug"), num_failures=MAX_ATTEMPTS)) as worker:
        await until(lambda: state(corpus, file_id).status == "failed")
        next_id = attach(corpus, "b.md")
        worker.wake()
        await until(lambda: state(corpus, next_id).status == "completed")
        worker.check_health()

    assert state(corpus, file_id).last_error_code == "server_error"


async def test_a_worker_that_cannot_store_a_failure_is_unhealthy(corpus: Corpus) -> None:
    embedder = FailsFirst(StageUnavailableError("embed"), num_failures=100)

    def break_writes(connection: object, cursor: object, statement: str, *_: object) -> None:
        if embedder.num_calls and statement.startswith("UPDATE"):
            raise ZeroDivisionError("a bug")

    event.listen(corpus.database._engine, "before_cursor_execute", break_writes)
    attach(corpus)
    async with working(corpus, embedder) as worker:
        worker.check_health()

        def is_unhealthy() -> bool:
            try:
                worker.check_health()
            except StageUnavailableError:
                return True
            return False

        await until(is_unhealthy)


@pytest.mark.parametrize("token_vectors", [True, False])
async def test_token_vectors_are_stored_with_the_chunks_unless_switched_off(
    corpus: Corpus, token_vectors: bool
) -> None:
    attach(corpus)
    embedder, limits = InlineEmbedder(TokenHashingModel), IngestConfig(token_vectors=token_vectors)
    (job,) = corpus.jobs.claim("test", 1, 60)

    num_chunks = await IngestPipeline(InlineParser(), embedder, corpus, limits).ingest(job)

    stored = corpus.views.token_changes("default", "default", 0, embedder.generation)
    assert len(stored.codes) == (num_chunks if token_vectors else 0)
    assert len(corpus.views.vector_changes("default", "default", 0, embedder.generation).added_keys) == num_chunks


class RefusedOnce(InlineEmbedder):
    """Answers, and lets the database take no write from then on."""

    def __init__(self, refuse: Callable[[], None]) -> None:
        super().__init__()
        self.refuse, self.num_calls = refuse, 0

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        self.num_calls += 1
        if self.num_calls == 1:
            self.refuse()
        return await super().embed_documents(texts, context, generation, with_tokens)


async def test_a_file_that_is_embedded_while_the_database_is_full_is_stored_when_there_is_room(corpus: Corpus) -> None:
    engine, is_full = corpus.database._engine, threading.Event()

    def refuse_writes(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA query_only={int(is_full.is_set())}")

    event.listen(engine, "checkout", refuse_writes)
    embedder = RefusedOnce(is_full.set)
    async with working(corpus, embedder) as worker:
        file_id = attach(corpus)
        worker.wake()
        await until(lambda: embedder.num_calls == 1)
        await asyncio.sleep(5 * CONFIG.max_retry_s)
        assert state(corpus, file_id).status == "in_progress"
        worker.check_health()

        is_full.clear()
        await until(lambda: state(corpus, file_id).status == "completed")

    assert corpus.dead_letters.counts() == {}
