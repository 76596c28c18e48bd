"""What a file in progress says about its job."""

from corpus_samples import STORE, TENANT, Clock, complete

from models.corpus.corpus import Corpus
from models.corpus.file_batches import BatchItem
from models.corpus.records import BatchProgress, JobProgress


def attach(corpus: Corpus, name: str = "a.md") -> str:
    file_id = corpus.files.add(TENANT, name, b"alpha beta").file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    return file_id


def progress(corpus: Corpus, file_id: str) -> JobProgress | None:
    return corpus.store_files.get(TENANT, STORE, file_id).progress


def test_a_file_is_queued_then_parsed_then_embedded(corpus: Corpus) -> None:
    file_id = attach(corpus)
    queued = progress(corpus, file_id)
    (job,) = corpus.jobs.claim("worker", 1, 60)
    parsing = progress(corpus, file_id)
    corpus.jobs.report("worker", {job.job_id: (3, 10)})
    embedding = progress(corpus, file_id)
    complete(corpus, job)

    assert queued == JobProgress("queued")
    assert parsing == JobProgress("parsing", num_attempts=1)
    assert embedding == JobProgress("embedding", 3, 10, num_attempts=1)
    assert progress(corpus, file_id) is None


def test_a_file_that_waits_for_another_attempt_says_why_and_until_when(corpus: Corpus, clock: Clock) -> None:
    file_id = attach(corpus)
    (job,) = corpus.jobs.claim("worker", 1, 60)
    corpus.jobs.report("worker", {job.job_id: (3, 10)})

    corpus.jobs.release(job, 30, reason="stage_down")

    waiting = progress(corpus, file_id)
    assert waiting == JobProgress("queued", last_reason="stage_down", retry_at=int(clock.now) + 30)
    clock.now += 30
    (again,) = corpus.jobs.claim("worker", 1, 60)
    assert (again.attempt, again.num_retries, again.last_reason) == (1, 1, "stage_down")


def test_the_file_of_a_dead_worker_is_queued_and_starts_again(corpus: Corpus, clock: Clock) -> None:
    file_id = attach(corpus)
    (job,) = corpus.jobs.claim("dead", 1, 30)
    corpus.jobs.report("dead", {job.job_id: (3, 10)})
    clock.now += 30
    after_death = progress(corpus, file_id)

    corpus.jobs.claim("heir", 1, 30)

    assert after_death is not None
    assert after_death.state == "queued"
    assert progress(corpus, file_id) == JobProgress("parsing", num_attempts=2)


def test_only_the_owner_reports_progress(corpus: Corpus) -> None:
    file_id = attach(corpus)
    (job,) = corpus.jobs.claim("worker", 1, 60)

    corpus.jobs.report("stranger", {job.job_id: (3, 10)})

    assert progress(corpus, file_id) == JobProgress("parsing", num_attempts=1)


def test_a_batch_counts_its_files_by_state_and_their_chunks(corpus: Corpus) -> None:
    items = [BatchItem(corpus.files.add(TENANT, f"{number}", b"a").file_id) for number in range(5)]
    batch = corpus.file_batches.create(TENANT, STORE, items)
    first, second, _ = corpus.jobs.claim("worker", 3, 60)
    corpus.jobs.report("worker", {first.job_id: (1, 4), second.job_id: (2, 6)})
    attach(corpus, "of no batch")

    under_way = corpus.file_batches.get(TENANT, STORE, batch.batch_id).progress
    corpus.file_batches.cancel(TENANT, STORE, batch.batch_id)

    assert batch.progress == BatchProgress(queued=5)
    assert under_way == BatchProgress(queued=2, parsing=1, embedding=2, num_embedded=3, num_chunks=10)
    assert corpus.file_batches.get(TENANT, STORE, batch.batch_id).progress == BatchProgress()


def test_a_deleted_file_is_no_longer_owned(corpus: Corpus) -> None:
    file_id = attach(corpus)
    (job,) = corpus.jobs.claim("worker", 1, 60)
    before = corpus.jobs.owned("worker")

    corpus.files.delete(TENANT, file_id)

    assert (before, corpus.jobs.owned("worker")) == ({job.job_id}, frozenset())
