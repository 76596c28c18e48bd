from concurrent.futures import ThreadPoolExecutor

import pytest
from corpus_samples import DIM, STORE, TENANT, Clock, ingest, stored_texts

from models.corpus.corpus import Corpus
from models.corpus.records import FileCounts, PageRequest
from models.corpus.vector_stores import VectorStoreChanges
from models.errors import ConflictError, InvalidRequestError, NotFoundError
from models.types import Scope


def test_the_default_store_stands_for_every_tenant(corpus: Corpus) -> None:
    store = corpus.vector_stores.get("new tenant", STORE)

    assert (store.tenant, store.vector_store_id, store.name) == ("new tenant", STORE, STORE)
    assert store.file_counts == FileCounts()
    assert corpus.vector_stores.page("another", PageRequest()).items[0].vector_store_id == STORE


def test_threads_that_meet_a_new_tenant_make_one_default_store(corpus: Corpus) -> None:
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: corpus.vector_stores.get(TENANT, STORE), range(16)))

    assert all(store == stores[0] for store in stores)
    assert len(corpus.vector_stores.page(TENANT, PageRequest()).items) == 1


def test_a_created_store_is_listed_after_its_elders(corpus: Corpus) -> None:
    corpus.vector_stores.get(TENANT, STORE)
    created = corpus.vector_stores.create(TENANT, "manuals")

    first = corpus.vector_stores.page(TENANT, PageRequest(1, order="asc"))
    second = corpus.vector_stores.page(TENANT, PageRequest(1, STORE, "asc"))

    assert created.vector_store_id.startswith("vs_")
    assert corpus.vector_stores.get(TENANT, created.vector_store_id) == created
    assert first.has_more
    assert second.items == (created,)
    assert not second.has_more


def test_counts_and_usage_follow_the_files(corpus: Corpus, clock: Clock) -> None:
    ingest(corpus, "a.md", "0123456789" * 2)
    clock.now += 60
    waiting = corpus.files.add(TENANT, "b.md", b"beta").file_id
    corpus.store_files.attach(TENANT, STORE, waiting)
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id

    store = corpus.vector_stores.get(TENANT, STORE)

    assert store.file_counts == FileCounts(in_progress=1, completed=1)
    assert store.file_counts.total == 2
    assert store.usage_bytes == 2 * (len("Title\n0123456789") + DIM * 4)
    assert store.last_active_at == store.created_at + 60
    assert corpus.vector_stores.get(TENANT, other).file_counts.total == 0


def test_a_deleted_store_is_gone_and_its_files_stay(corpus: Corpus) -> None:
    store = corpus.vector_stores.create(TENANT, "manuals").vector_store_id
    file_id = ingest(corpus, "a.md", "alpha", store=store)
    keys = corpus.views.text_changes(TENANT, store, 0).added_keys

    corpus.vector_stores.delete(TENANT, store)

    assert corpus.views.passages(keys, Scope(TENANT, (store,))) == {}
    assert corpus.views.heads([(TENANT, store)]) == {}
    assert corpus.files.content(TENANT, file_id) == b"alpha"
    for method in (corpus.vector_stores.get, corpus.vector_stores.delete):
        with pytest.raises(NotFoundError, match="no vector store"):
            method(TENANT, store)


def test_the_default_store_comes_back_empty_with_another_log(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "alpha")
    before = corpus.views.heads([(TENANT, STORE)])[TENANT, STORE]

    corpus.vector_stores.delete(TENANT, STORE)

    assert stored_texts(corpus) == []
    ingest(corpus, "b.md", "beta")
    after = corpus.views.heads([(TENANT, STORE)])[TENANT, STORE]
    assert stored_texts(corpus) == ["Title\nbeta"]
    assert after.log_id != before.log_id


def test_a_store_is_modified_in_what_is_said_alone(corpus: Corpus) -> None:
    store = corpus.vector_stores.create(TENANT, "manuals", {"team": "oven"}, expires_after_days=2).vector_store_id

    renamed = corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(name="books"))
    kept = corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(metadata={}, expires_after_days=None))

    assert (renamed.name, renamed.metadata, renamed.expires_after_days) == ("books", {"team": "oven"}, 2)
    assert (kept.name, kept.metadata, kept.expires_after_days, kept.expires_at) == ("books", {}, None, None)
    with pytest.raises(InvalidRequestError, match="metadata"):
        corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(metadata={"k": "v" * 513}))
    with pytest.raises(NotFoundError):
        corpus.vector_stores.modify("other", store, VectorStoreChanges(name="mine"))


def test_a_store_that_nobody_uses_expires_and_one_that_is_searched_does_not(corpus: Corpus, clock: Clock) -> None:
    used, idle = (corpus.vector_stores.create(TENANT, name, None, 1).vector_store_id for name in ("used", "idle"))
    for store in (used, idle):
        ingest(corpus, f"{store}.md", "alpha", store=store)
    clock.now += 80_000
    corpus.vector_stores.touch(TENANT, [used])
    clock.now += 10_000

    assert corpus.vector_stores.get(TENANT, idle).status == "expired"
    corpus.vector_stores.touch(TENANT, [used, STORE])
    with pytest.raises(ConflictError, match="expired"):
        corpus.vector_stores.touch(TENANT, [idle])
    assert corpus.vector_stores.expire() == 1

    assert stored_texts(corpus, store=idle) == []
    assert stored_texts(corpus, store=used) == ["Title\nalpha"]
    assert corpus.vector_stores.get(TENANT, idle).status == "expired"
    assert corpus.vector_stores.get(TENANT, idle).file_counts.total == 0
    assert corpus.vector_stores.expire() == 0


def test_another_tenants_store_is_unknown(corpus: Corpus) -> None:
    theirs = corpus.vector_stores.create("other", "secret").vector_store_id
    file_id = corpus.files.add(TENANT, "a.md", b"alpha").file_id

    for method in (corpus.vector_stores.get, corpus.vector_stores.delete):
        with pytest.raises(NotFoundError):
            method(TENANT, theirs)
    with pytest.raises(NotFoundError):
        corpus.store_files.attach(TENANT, theirs, file_id)
    with pytest.raises(NotFoundError):
        corpus.store_files.page(TENANT, theirs, PageRequest())
    with pytest.raises(NotFoundError):
        corpus.views.text_changes(TENANT, theirs, 0)
    with pytest.raises(InvalidRequestError):
        corpus.vector_stores.page(TENANT, PageRequest(after=theirs))
    assert corpus.views.heads([(TENANT, theirs)]) == {}
