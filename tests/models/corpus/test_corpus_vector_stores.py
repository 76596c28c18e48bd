from concurrent.futures import ThreadPoolExecutor

import pytest
from corpus_samples import DIM, STORE, TENANT, Clock, complete, cut, encode, ingest, stored_texts

from models.corpus.corpus import Corpus
from models.corpus.expiry import DAY_S
from models.corpus.file_batches import BatchItem
from models.corpus.records import FileCounts, PageRequest
from models.corpus.store_changes import VectorStoreChanges
from models.corpus.vector_stores import TOUCH_EVERY_S
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError
from models.types.scope import Scope


def test_every_tenant_has_a_default_store(corpus: Corpus) -> None:
    store = corpus.vector_stores.get("new tenant", STORE)

    assert (store.tenant, store.vector_store_id, store.name) == ("new tenant", STORE, STORE)
    assert store.file_counts == FileCounts()
    assert corpus.vector_stores.page("another", PageRequest()).items[0].vector_store_id == STORE


def test_threads_that_meet_a_new_tenant_make_one_default_store(corpus: Corpus) -> None:
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: corpus.vector_stores.get(TENANT, STORE), range(16)))

    assert all(store == stores[0] for store in stores)
    assert len(corpus.vector_stores.page(TENANT, PageRequest()).items) == 1


def test_a_new_store_is_listed_last(corpus: Corpus) -> None:
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
    num_code_bytes = sum(map(len, encode(cut("0123456789" * 2))))
    assert store.usage_bytes == 2 * (len("Title\n0123456789") + DIM * 4) + num_code_bytes
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


def test_modifying_a_store_changes_only_the_named_fields(corpus: Corpus) -> None:
    store = corpus.vector_stores.create(TENANT, "manuals", {"team": "oven"}, expires_after_days=2).vector_store_id

    renamed = corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(name="books"))
    unchanged = corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(metadata={}, expires_after_days=None))

    assert (renamed.name, renamed.metadata, renamed.expires_after_days) == ("books", {"team": "oven"}, 2)
    assert (unchanged.name, unchanged.metadata, unchanged.expires_after_days, unchanged.expires_at) == (
        "books",
        {},
        None,
        None,
    )
    with pytest.raises(InvalidRequestError, match="metadata"):
        corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(metadata={"k": "v" * 513}))
    with pytest.raises(NotFoundError):
        corpus.vector_stores.modify("other", store, VectorStoreChanges(name="mine"))


def test_an_unused_store_expires_and_a_searched_one_does_not(corpus: Corpus, clock: Clock) -> None:
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


def test_an_expired_store_takes_nothing_and_stays_expired(corpus: Corpus, clock: Clock) -> None:
    store = corpus.vector_stores.create(TENANT, "brief", None, 1).vector_store_id
    file_id = ingest(corpus, "a.md", "alpha", store=store)
    late = corpus.files.add(TENANT, "b.md", b"beta").file_id
    corpus.store_files.attach(TENANT, store, late)
    (job,) = corpus.jobs.claim("worker", 1, 2 * DAY_S)
    clock.now += DAY_S

    for refused in (
        lambda: corpus.store_files.attach(TENANT, store, file_id),
        lambda: corpus.file_batches.create(TENANT, store, [BatchItem(file_id)]),
        lambda: corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(expires_after_days=None)),
    ):
        with pytest.raises(ConflictError, match="expired"):
            refused()
    complete(corpus, job)
    corpus.store_files.detach(TENANT, store, file_id)

    assert corpus.vector_stores.get(TENANT, store).status == "expired"
    assert corpus.vector_stores.expire() == 1
    assert stored_texts(corpus, store=store) == []
    assert corpus.files.content(TENANT, late) == b"beta"


def test_expired_files_leave_the_log_as_detached_ones_do(corpus: Corpus, clock: Clock) -> None:
    store = corpus.vector_stores.create(TENANT, "brief", None, 1).vector_store_id
    ingest(corpus, "a.md", "alpha", store=store)
    before = corpus.views.text_changes(TENANT, store, 0)
    waiting = corpus.files.add(TENANT, "b.md", b"beta").file_id
    corpus.store_files.attach(TENANT, store, waiting)
    clock.now += DAY_S

    corpus.vector_stores.expire()

    after = corpus.views.text_changes(TENANT, store, before.up_to_seq)
    assert (after.log_id, after.removed_keys.tolist()) == (before.log_id, before.added_keys.tolist())
    assert corpus.jobs.claim("worker", 10, 60) == []


def test_searches_write_once_a_minute_and_only_for_stores_that_expire(corpus: Corpus, clock: Clock) -> None:
    brief = corpus.vector_stores.create(TENANT, "brief", None, 1)
    lasting = corpus.vector_stores.create(TENANT, "lasting")
    both = [brief.vector_store_id, lasting.vector_store_id]

    clock.now += TOUCH_EVERY_S - 1
    corpus.vector_stores.touch(TENANT, both)
    early = corpus.vector_stores.get(TENANT, brief.vector_store_id)
    clock.now += 1
    corpus.vector_stores.touch(TENANT, both)

    assert early.last_active_at == brief.last_active_at
    touched = corpus.vector_stores.get(TENANT, brief.vector_store_id)
    assert touched.last_active_at == brief.last_active_at + TOUCH_EVERY_S
    assert corpus.vector_stores.get(TENANT, lasting.vector_store_id) == lasting
    assert corpus.views.heads([(TENANT, brief.vector_store_id)])[TENANT, brief.vector_store_id].seq == 0


def test_a_search_of_an_unknown_store_is_refused(corpus: Corpus) -> None:
    theirs = corpus.vector_stores.create("other", "secret").vector_store_id

    corpus.vector_stores.touch("new tenant", [STORE])
    for store in (theirs, "vs_1"):
        with pytest.raises(NotFoundError, match="no vector store"):
            corpus.vector_stores.touch(TENANT, [STORE, store])


@pytest.mark.parametrize(
    "metadata", [{str(number): "v" for number in range(17)}, {"k" * 65: "v"}, {"": "v"}, {"k": "v" * 513}, {"k": "\0"}]
)
def test_metadata_beyond_the_limits_is_refused(corpus: Corpus, metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="metadata"):
        corpus.vector_stores.create(TENANT, "manuals", metadata)
    with pytest.raises(InvalidRequestError, match="name"):
        corpus.vector_stores.create(TENANT, "a\0b")


def test_a_store_is_in_progress_while_a_file_is(corpus: Corpus) -> None:
    file_id = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    corpus.store_files.attach(TENANT, STORE, file_id)

    before = corpus.vector_stores.get(TENANT, STORE).status
    complete(corpus, corpus.jobs.claim("worker", 1, 60)[0])

    assert (before, corpus.vector_stores.get(TENANT, STORE).status) == ("in_progress", "completed")
