"""Files that failed for good: why, how often tried, when; and ingested again."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from corpus_samples import STORE, TENANT, Clock, complete, ingest, stored_texts

from models.corpus.corpus import Corpus
from models.corpus.dead_letters import REPLAY_STEP, Selection
from models.corpus.failures import FailureReason
from models.corpus.records import PageRequest
from models.errors.requests import InvalidRequestError, NotFoundError

ALL = Selection()


def fail(
    corpus: Corpus,
    name: str,
    reason: FailureReason = "invalid_file",
    tenant: str = TENANT,
    store: str = STORE,
) -> str:
    """Upload and attach a file, and fail its job. Return the file's id."""
    file_id = corpus.files.add(tenant, name, name.encode()).file_id
    corpus.store_files.attach(tenant, store, file_id)
    for job in corpus.jobs.claim("worker", 100, 60):
        corpus.jobs.fail(job, "invalid_file", f"{name} is broken", reason)
    return file_id


def names(corpus: Corpus, selection: Selection = ALL, tenant: str = TENANT) -> list[str]:
    return [letter.filename for letter in corpus.dead_letters.page(tenant, selection, PageRequest(100)).items]


def test_a_dead_letter_says_why_when_and_after_how_many_attempts(corpus: Corpus, clock: Clock) -> None:
    file_id = corpus.files.add(TENANT, "a.pdf", b"a").file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    (job,) = corpus.jobs.claim("worker", 1, 60)
    corpus.jobs.release(job, counts=True, reason="internal_error")
    (job,) = corpus.jobs.claim("worker", 1, 60)
    clock.now += 100

    corpus.jobs.fail(job, "server_error", "it broke the stage", "internal_error")

    (letter,) = corpus.dead_letters.page(TENANT, ALL, PageRequest()).items
    assert (letter.filename, letter.file_id, letter.vector_store_id) == ("a.pdf", file_id, STORE)
    assert (letter.reason, letter.num_attempts, letter.failed_at) == ("internal_error", 2, int(clock.now))
    assert (letter.code, letter.message) == ("server_error", "it broke the stage")


def test_dead_letters_are_listed_by_reason_and_store_newest_first(corpus: Corpus) -> None:
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    fail(corpus, "a", "too_complex")
    fail(corpus, "b", "invalid_file")
    fail(corpus, "c", "too_complex", store=other)

    assert names(corpus) == ["c", "b", "a"]
    assert names(corpus, Selection(reason="too_complex")) == ["c", "a"]
    assert names(corpus, Selection(vector_store_id=STORE)) == ["b", "a"]
    assert corpus.dead_letters.counts() == {"too_complex": 2, "invalid_file": 1}


def test_pages_of_dead_letters_continue_after_a_replay(corpus: Corpus) -> None:
    for name in ("a", "b", "c"):
        fail(corpus, name)
    first = corpus.dead_letters.page(TENANT, ALL, PageRequest(limit=2))
    corpus.dead_letters.replay(TENANT, Selection(dead_letter_id=first.items[-1].dead_letter_id))

    second = corpus.dead_letters.page(TENANT, ALL, PageRequest(2, after=first.items[-1].dead_letter_id))

    assert [letter.filename for letter in first.items + second.items] == ["c", "b", "a"]
    assert (first.has_more, second.has_more) == (True, False)


@pytest.mark.parametrize("cursor", ["dl_0", "dl_99999999", "dl_-1", "dl_²", "dl_" + "9" * 100, "a", "'; DROP TABLE"])
def test_a_cursor_that_is_no_dead_letter_is_refused(corpus: Corpus, cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="not in this list"):
        corpus.dead_letters.page(TENANT, ALL, PageRequest(after=cursor))


def test_a_replayed_file_is_ingested_again_once(corpus: Corpus) -> None:
    fail(corpus, "alpha")
    (letter,) = corpus.dead_letters.page(TENANT, ALL, PageRequest()).items

    replayed = [corpus.dead_letters.replay(TENANT, Selection(letter.dead_letter_id)) for _ in range(2)]
    jobs = corpus.jobs.claim("worker", 10, 60)
    complete(corpus, jobs[0])

    assert (replayed, len(jobs), jobs[0].attempt) == ([1, 0], 1, 1)
    assert (stored_texts(corpus), names(corpus)) == (["Title\nalpha"], [])


def test_all_of_a_reason_or_a_store_are_replayed(corpus: Corpus) -> None:
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    fail(corpus, "a", "too_complex")
    fail(corpus, "b", "too_complex", store=other)
    fail(corpus, "c", store=other)
    fail(corpus, "d")

    by_reason = corpus.dead_letters.replay(TENANT, Selection(reason="too_complex"))
    by_store = corpus.dead_letters.replay(TENANT, Selection(vector_store_id=other))

    assert (by_reason, by_store, names(corpus)) == (2, 1, ["d"])


def test_a_replay_needs_a_selection(corpus: Corpus) -> None:
    with pytest.raises(InvalidRequestError, match="choose"):
        corpus.dead_letters.replay(TENANT, ALL)


def test_another_tenants_dead_letters_are_neither_listed_nor_replayed(corpus: Corpus) -> None:
    fail(corpus, "a", tenant="tenant-b")
    (letter,) = corpus.dead_letters.page("tenant-b", ALL, PageRequest()).items

    selections = [Selection(vector_store_id=STORE), Selection(reason="invalid_file")]

    assert names(corpus) == []
    assert [corpus.dead_letters.replay(TENANT, selection) for selection in selections] == [0, 0]
    with pytest.raises(NotFoundError, match=letter.dead_letter_id):
        corpus.dead_letters.replay(TENANT, Selection(dead_letter_id=letter.dead_letter_id))
    assert names(corpus, tenant="tenant-b") == ["a"]


def test_more_files_than_a_transaction_takes_are_all_replayed(corpus: Corpus) -> None:
    num_files = REPLAY_STEP + 1
    for number in range(num_files):
        file_id = corpus.files.add(TENANT, f"{number}", b"same").file_id
        corpus.store_files.attach(TENANT, STORE, file_id)
    for job in corpus.jobs.claim("worker", num_files, 60):
        corpus.jobs.fail(job, "invalid_file", "broken", "invalid_file")

    assert corpus.dead_letters.replay(TENANT, Selection(vector_store_id=STORE)) == num_files


def test_replays_at_the_same_time_replay_each_file_once(corpus: Corpus) -> None:
    for number in range(10):
        fail(corpus, f"{number}")

    with ThreadPoolExecutor(4) as threads:
        replays = threads.map(lambda _: corpus.dead_letters.replay(TENANT, Selection(reason="invalid_file")), range(4))

    assert sum(replays) == 10
    assert len(corpus.jobs.claim("worker", 100, 60)) == 10


def test_old_chunks_stay_searchable_while_a_replay_runs(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    corpus.files.replace(TENANT, file_id, b"broken")
    (job,) = corpus.jobs.claim("worker", 1, 60)
    corpus.jobs.fail(job, "invalid_file", "broken", "invalid_file")

    corpus.dead_letters.replay(TENANT, Selection(reason="invalid_file"))

    assert stored_texts(corpus) == ["Title\nalpha"]
    assert corpus.store_files.get(TENANT, STORE, file_id).status == "in_progress"


def test_files_of_an_expired_store_stay_dead(corpus: Corpus, clock: Clock) -> None:
    store = corpus.vector_stores.create(TENANT, "old", expires_after_days=1).vector_store_id
    fail(corpus, "a", store=store)
    clock.now += 2 * 86_400

    assert corpus.dead_letters.replay(TENANT, Selection(vector_store_id=store)) == 0
