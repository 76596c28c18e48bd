from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pytest
from corpus_samples import GENERATION, SCOPE, STORE, TENANT, Clock, complete, cut, embed, ingest, stored_texts

from models.corpus.corpus import Corpus
from models.corpus.jobs import MAX_ATTEMPTS
from models.corpus.records import Job
from models.errors.requests import ConflictError, InvalidRequestError
from models.types.arrays import FloatArray


def attach(corpus: Corpus, name: str = "a.md", text: str = "alpha beta gamma") -> str:
    file_id = corpus.files.add(TENANT, name, text.encode()).file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    return file_id


def claim_one(corpus: Corpus, owner: str = "worker", lease_s: float = 60.0) -> Job:
    (job,) = corpus.jobs.claim(owner, 1, lease_s)
    return job


def test_jobs_are_claimed_oldest_first_and_once(corpus: Corpus) -> None:
    ids = [attach(corpus, name) for name in ("a", "b", "c")]

    first = corpus.jobs.claim("one", 2, 60)
    second = corpus.jobs.claim("two", 2, 60)

    assert [job.file_id for job in first + second] == ids
    assert [job.filename for job in first + second] == ["a", "b", "c"]
    assert corpus.jobs.claim("three", 2, 60) == []


def test_threads_never_claim_the_same_job(corpus: Corpus) -> None:
    ids = [attach(corpus, str(number)) for number in range(20)]

    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda number: corpus.jobs.claim(f"worker {number}", 3, 60), range(8)))

    assert sorted(job.file_id for job in chain.from_iterable(claimed)) == sorted(ids)


def test_completing_a_file_stores_text_chunks_and_vectors(corpus: Corpus) -> None:
    file_id = attach(corpus)

    complete(corpus, claim_one(corpus))

    assert corpus.store_files.get(TENANT, STORE, file_id).status == "completed"
    assert corpus.files.text(TENANT, file_id) == "alpha beta gamma"
    assert stored_texts(corpus) == ["Title\nalpha beta", "Title\n gamma"]
    assert corpus.jobs.claim("worker", 1, 60) == []


def test_a_file_without_chunks_can_be_completed(corpus: Corpus) -> None:
    file_id = attach(corpus, text="")

    complete(corpus, claim_one(corpus))

    assert corpus.store_files.get(TENANT, STORE, file_id).status == "completed"
    assert stored_texts(corpus) == []


def test_a_dead_workers_job_is_claimed_after_its_lease(corpus: Corpus, clock: Clock) -> None:
    attach(corpus)
    lost = claim_one(corpus, "dead", lease_s=30)

    clock.now += 29
    too_early = corpus.jobs.claim("heir", 1, 30)
    clock.now += 1
    heir = claim_one(corpus, "heir")

    assert too_early == []
    assert (heir.job_id, heir.attempt) == (lost.job_id, 2)


def test_a_renewed_lease_does_not_expire(corpus: Corpus, clock: Clock) -> None:
    attach(corpus)
    job = claim_one(corpus, "slow", lease_s=30)

    clock.now += 29
    renewed = corpus.jobs.renew("slow", 30)
    clock.now += 29

    assert renewed == {job.job_id}
    assert corpus.jobs.claim("heir", 1, 30) == []
    assert corpus.jobs.renew("stranger", 30) == frozenset()


def test_renewing_returns_the_jobs_that_are_still_valid(corpus: Corpus) -> None:
    attached, detached = attach(corpus, "a"), attach(corpus, "b")
    jobs = {job.file_id: job for job in corpus.jobs.claim("worker", 2, 30)}

    corpus.files.delete(TENANT, detached)

    assert corpus.jobs.renew("worker", 30) == {jobs[attached].job_id}


def test_only_the_owner_of_the_lease_completes(corpus: Corpus, clock: Clock) -> None:
    attach(corpus)
    slow = claim_one(corpus, "slow", lease_s=30)
    clock.now += 31
    heir = claim_one(corpus, "heir")

    with pytest.raises(ConflictError, match="lost the lease"):
        complete(corpus, slow)
    before = stored_texts(corpus)
    complete(corpus, heir)
    with pytest.raises(ConflictError):
        complete(corpus, slow)
    with pytest.raises(ConflictError):
        corpus.jobs.fail(slow, "server_error", "late")

    assert before == []
    assert stored_texts(corpus) == ["Title\nalpha beta", "Title\n gamma"]


def test_claiming_a_job_again_invalidates_the_owners_first_attempt(corpus: Corpus, clock: Clock) -> None:
    attach(corpus)
    first = claim_one(corpus, lease_s=30)
    clock.now += 31
    second = claim_one(corpus)

    with pytest.raises(ConflictError):
        complete(corpus, first)
    complete(corpus, second)

    assert len(stored_texts(corpus)) == 2


def test_an_expired_lease_still_completes_if_unclaimed(corpus: Corpus, clock: Clock) -> None:
    attach(corpus)
    slow = claim_one(corpus, "slow", lease_s=30)
    clock.now += 300

    complete(corpus, slow)

    assert len(stored_texts(corpus)) == 2


def test_completing_twice_stores_once(corpus: Corpus) -> None:
    attach(corpus)
    job = claim_one(corpus)
    complete(corpus, job)
    head = corpus.views.heads([(TENANT, STORE)])

    with pytest.raises(ConflictError):
        complete(corpus, job)

    assert len(stored_texts(corpus)) == 2
    assert corpus.views.heads([(TENANT, STORE)]) == head


@pytest.mark.parametrize("how", ["detached", "deleted", "store deleted", "attached again"])
def test_a_job_is_invalid_after_its_file_is_removed(corpus: Corpus, how: str) -> None:
    store = corpus.vector_stores.create(TENANT, "manuals").vector_store_id
    file_id = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    corpus.store_files.attach(TENANT, store, file_id)
    job = claim_one(corpus)
    if how == "deleted":
        corpus.files.delete(TENANT, file_id)
    elif how == "store deleted":
        corpus.vector_stores.delete(TENANT, store)
    else:
        corpus.store_files.detach(TENANT, store, file_id)
    if how == "attached again":
        corpus.store_files.attach(TENANT, store, file_id)

    with pytest.raises(ConflictError, match="no longer valid"):
        corpus.jobs.complete(job, "alpha", cut("alpha"), {GENERATION: embed(cut("alpha"))})

    if how != "store deleted":
        assert stored_texts(corpus, store=store) == []


def test_a_released_job_is_free_at_once_and_not_counted(corpus: Corpus) -> None:
    attach(corpus)
    job = claim_one(corpus, "leaving")

    corpus.jobs.release(job)
    next_job = claim_one(corpus, "staying")
    corpus.jobs.release(job)

    assert next_job.attempt == 1
    assert corpus.jobs.renew("staying", 60) == {next_job.job_id}


def test_a_file_fails_after_the_last_counted_attempt(corpus: Corpus) -> None:
    file_id = attach(corpus)

    for _ in range(MAX_ATTEMPTS):
        corpus.jobs.release(claim_one(corpus), counts=True)

    assert corpus.jobs.claim("worker", 1, 60) == []
    file = corpus.store_files.get(TENANT, STORE, file_id)
    assert (file.status, file.last_error_code) == ("failed", "server_error")


def test_a_job_released_with_a_delay_waits(corpus: Corpus, clock: Clock) -> None:
    attach(corpus)

    corpus.jobs.release(claim_one(corpus), delay_s=5)
    too_early = corpus.jobs.claim("worker", 1, 60)
    clock.now += 5

    assert too_early == []
    assert claim_one(corpus).attempt == 1


def test_a_file_that_kills_its_workers_fails(corpus: Corpus, clock: Clock) -> None:
    file_id, healthy = attach(corpus, "deadly"), attach(corpus, "healthy")
    for attempt in range(MAX_ATTEMPTS):
        corpus.jobs.claim(f"victim {attempt}", 1, 30)
        clock.now += 30

    (job,) = corpus.jobs.claim("survivor", 10, 30)

    failed = corpus.store_files.get(TENANT, STORE, file_id)
    assert job.file_id == healthy
    assert (failed.status, failed.last_error_code) == ("failed", "server_error")
    assert failed.last_error_message == "the ingestion worker died 5 times"


@pytest.mark.parametrize(
    "vectors", [np.zeros((1, 4), np.float32), np.zeros((2, 4), np.float64), np.zeros(8, np.float32)]
)
def test_vectors_must_match_the_chunks(corpus: Corpus, vectors: FloatArray) -> None:
    attach(corpus)

    with pytest.raises(InvalidRequestError, match=r"must be \(2, dim\) float32"):
        corpus.jobs.complete(claim_one(corpus), "alpha beta gamma", cut("alpha beta gamma"), {GENERATION: vectors})

    assert stored_texts(corpus) == []


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_sql_cannot_store_is_refused(corpus: Corpus, text: str) -> None:
    attach(corpus)

    with pytest.raises(InvalidRequestError, match="NUL"):
        corpus.jobs.complete(claim_one(corpus), text, [], {GENERATION: np.zeros((0, 4), np.float32)})


def test_two_chunks_at_one_place_are_refused(corpus: Corpus) -> None:
    attach(corpus)
    chunks = cut("alpha") * 2

    with pytest.raises(InvalidRequestError, match="same place"):
        corpus.jobs.complete(claim_one(corpus), "alpha", chunks, {GENERATION: embed(chunks)})


def test_chunk_ids_are_the_same_after_ingesting_again(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha beta gamma")
    first = _chunk_ids(corpus)
    corpus.store_files.detach(TENANT, STORE, file_id)

    ingest(corpus, "a.md", "alpha beta gamma")

    assert _chunk_ids(corpus) == first
    assert len(set(first)) == 2


def _chunk_ids(corpus: Corpus) -> list[str]:
    keys = corpus.views.text_changes(TENANT, STORE, 0).added_keys
    return [passage.chunk_id for passage in corpus.views.passages(keys, SCOPE).values()]
