"""File batches: attached all or none, counted, cancelled, and invisible to other tenants."""

import pytest
from corpus_samples import STORE, TENANT, complete, ingest, stored_texts

from models.corpus.chunking import Chunking
from models.corpus.corpus import Corpus
from models.corpus.file_batches import BatchItem
from models.corpus.records import FileCounts, PageRequest
from models.errors.requests import InvalidRequestError, NotFoundError


def upload(corpus: Corpus, *names: str) -> list[str]:
    return [corpus.files.add(TENANT, name, name.encode()).file_id for name in names]


def test_a_batch_counts_its_own_files(corpus: Corpus) -> None:
    ingest(corpus, "before.md", "before")
    first, second = upload(corpus, "a.md", "b.md")
    items = [BatchItem(first), BatchItem(second, Chunking(100, 0), {"year": 1999})]

    batch = corpus.file_batches.create(TENANT, STORE, items)
    complete(corpus, corpus.jobs.claim("worker", 1, 60)[0])
    halfway = corpus.file_batches.get(TENANT, STORE, batch.batch_id)
    corpus.jobs.fail(corpus.jobs.claim("worker", 1, 60)[0], "invalid_file", "no")
    done = corpus.file_batches.get(TENANT, STORE, batch.batch_id)

    assert (batch.status, batch.file_counts) == ("in_progress", FileCounts(in_progress=2))
    assert (halfway.status, halfway.file_counts) == ("in_progress", FileCounts(in_progress=1, completed=1))
    assert (done.status, done.file_counts) == ("completed", FileCounts(completed=1, failed=1))
    page = corpus.file_batches.files(TENANT, STORE, batch.batch_id, PageRequest(order="asc"))
    assert [file.file_id for file in page.items] == [first, second]
    assert page.items[1].attributes == {"year": 1999}
    failed = corpus.file_batches.files(TENANT, STORE, batch.batch_id, PageRequest(), "failed")
    assert [file.file_id for file in failed.items] == [second]


def test_a_batch_with_an_unknown_file_attaches_none(corpus: Corpus) -> None:
    (existing,) = upload(corpus, "a.md")

    with pytest.raises(NotFoundError):
        corpus.file_batches.create(TENANT, STORE, [BatchItem(existing), BatchItem("file-none")])
    with pytest.raises(InvalidRequestError, match="2 times"):
        corpus.file_batches.create(TENANT, STORE, [BatchItem(existing), BatchItem(existing)])
    with pytest.raises(InvalidRequestError, match="0 files"):
        corpus.file_batches.create(TENANT, STORE, [])

    assert corpus.store_files.page(TENANT, STORE, PageRequest()).items == ()


def test_cancelling_a_batch_cancels_only_files_in_progress(corpus: Corpus) -> None:
    first, second = upload(corpus, "a.md", "b.md")
    batch = corpus.file_batches.create(TENANT, STORE, [BatchItem(first), BatchItem(second)])
    complete(corpus, corpus.jobs.claim("worker", 1, 60)[0])

    cancelled = corpus.file_batches.cancel(TENANT, STORE, batch.batch_id)

    assert (cancelled.status, cancelled.file_counts) == ("cancelled", FileCounts(completed=1, cancelled=1))
    assert corpus.jobs.claim("worker", 10, 60) == []
    assert len(stored_texts(corpus)) == 1
    again = corpus.store_files.attach(TENANT, STORE, second)
    assert again.status == "in_progress"


def test_another_tenants_batch_is_unknown(corpus: Corpus) -> None:
    (mine,) = upload(corpus, "a.md")
    batch = corpus.file_batches.create(TENANT, STORE, [BatchItem(mine)])

    for method in (corpus.file_batches.get, corpus.file_batches.cancel):
        with pytest.raises(NotFoundError):
            method("other", STORE, batch.batch_id)
    with pytest.raises(NotFoundError):
        corpus.file_batches.files("other", STORE, batch.batch_id, PageRequest())
    with pytest.raises(NotFoundError):
        corpus.file_batches.create("other", STORE, [BatchItem(mine)])
    assert corpus.file_batches.get(TENANT, STORE, batch.batch_id).status == "in_progress"


def test_a_batch_that_has_ended_cannot_be_cancelled(corpus: Corpus) -> None:
    (file_id,) = upload(corpus, "a.md")
    batch = corpus.file_batches.create(TENANT, STORE, [BatchItem(file_id)])
    complete(corpus, corpus.jobs.claim("worker", 1, 60)[0])

    assert corpus.file_batches.cancel(TENANT, STORE, batch.batch_id).status == "completed"


def test_a_cancelled_replacement_keeps_the_old_version(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    batch = corpus.file_batches.create(TENANT, STORE, [BatchItem(file_id)])
    corpus.files.replace(TENANT, file_id, b"omega")

    corpus.file_batches.cancel(TENANT, STORE, batch.batch_id)

    store_file = corpus.store_files.get(TENANT, STORE, file_id)
    assert (store_file.status, store_file.version) == ("cancelled", 1)
    assert stored_texts(corpus) == ["Title\nalpha"]


def test_attributes_of_a_batch_are_one_change(corpus: Corpus) -> None:
    ids = upload(corpus, "a.md", "b.md")

    corpus.file_batches.create(TENANT, STORE, [BatchItem(file_id, None, {"year": 1999}) for file_id in ids])

    changes = corpus.views.text_changes(TENANT, STORE, 0)
    assert (changes.head_seq, list(changes.attributes.values())) == (1, [{"year": 1999}] * 2)


def test_a_batch_has_at_most_500_files(corpus: Corpus) -> None:
    ids = upload(corpus, *map(str, range(501)))

    batch = corpus.file_batches.create(TENANT, STORE, [BatchItem(file_id) for file_id in ids[:500]])

    assert batch.file_counts == FileCounts(in_progress=500)
    with pytest.raises(InvalidRequestError, match="501 files"):
        corpus.file_batches.create(TENANT, STORE, [BatchItem(file_id) for file_id in ids])


def test_a_detached_file_leaves_its_batch(corpus: Corpus) -> None:
    first, second = upload(corpus, "a.md", "b.md")
    batch = corpus.file_batches.create(TENANT, STORE, [BatchItem(first), BatchItem(second)])

    corpus.store_files.detach(TENANT, STORE, first)

    page = corpus.file_batches.files(TENANT, STORE, batch.batch_id, PageRequest())
    assert [file.file_id for file in page.items] == [second]
