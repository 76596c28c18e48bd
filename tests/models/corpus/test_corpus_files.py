from pathlib import Path
from typing import Literal

import pytest
from corpus_samples import SCOPE, STORE, TENANT, Clock, complete, ingest, stored_texts

from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError


def test_an_upload_is_returned_as_it_was(corpus: Corpus) -> None:
    file = corpus.files.add(TENANT, "a.md", b"alpha", "assistants")

    assert (file.filename, file.size_bytes, file.purpose, file.created_at) == ("a.md", 5, "assistants", 1_000_000)
    assert corpus.files.get(TENANT, file.file_id) == file
    assert corpus.files.content(TENANT, file.file_id) == b"alpha"


def test_uploading_twice_is_the_same_file(corpus: Corpus, clock: Clock) -> None:
    first = corpus.files.add(TENANT, "a.md", b"alpha")
    clock.now += 60

    second = corpus.files.add(TENANT, "a.md", b"alpha")

    assert second == first
    assert len(corpus.files.page(TENANT, PageRequest()).items) == 1


@pytest.mark.parametrize(("filename", "content"), [("b.md", b"alpha"), ("a.md", b"beta"), ("a.md", b"")])
def test_another_name_or_content_is_another_file(corpus: Corpus, filename: str, content: bytes) -> None:
    first = corpus.files.add(TENANT, "a.md", b"alpha")

    second = corpus.files.add(TENANT, filename, content)

    assert second.file_id != first.file_id


@pytest.mark.parametrize("filename", ["", "  ", "a\0b", "\ud800"])
def test_a_filename_that_is_not_text_is_refused(corpus: Corpus, filename: str) -> None:
    with pytest.raises(InvalidRequestError, match="filename"):
        corpus.files.add(TENANT, filename, b"alpha")


def test_another_tenants_file_is_unknown(corpus: Corpus) -> None:
    mine = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    theirs = corpus.files.add("other", "a.md", b"alpha").file_id

    assert mine != theirs
    for method in (corpus.files.get, corpus.files.content, corpus.files.text, corpus.files.delete):
        with pytest.raises(NotFoundError, match=f"no file with id '{theirs}'"):
            method(TENANT, theirs)
    with pytest.raises(NotFoundError):
        corpus.store_files.attach(TENANT, STORE, theirs)
    assert [file.file_id for file in corpus.files.page("other", PageRequest()).items] == [theirs]


@pytest.mark.parametrize(
    ("order", "expected"), [("asc", ["0", "1", "2", "3", "4"]), ("desc", ["4", "3", "2", "1", "0"])]
)
def test_pages_list_every_file_once_in_order(
    corpus: Corpus, order: Literal["asc", "desc"], expected: list[str]
) -> None:
    for name in "01234":
        corpus.files.add(TENANT, name, b"same second")
    filenames, after, has_more = [], None, True

    while has_more:
        page = corpus.files.page(TENANT, PageRequest(2, after, order))
        filenames += [file.filename for file in page.items]
        after, has_more = page.items[-1].file_id, page.has_more

    assert filenames == expected


def test_a_full_last_page_has_no_more(corpus: Corpus) -> None:
    corpus.files.add(TENANT, "a", b"")
    corpus.files.add(TENANT, "b", b"")

    assert not corpus.files.page(TENANT, PageRequest(2)).has_more
    assert corpus.files.page(TENANT, PageRequest(1)).has_more


def test_files_are_listed_by_purpose(corpus: Corpus) -> None:
    corpus.files.add(TENANT, "a", b"", "assistants")
    corpus.files.add(TENANT, "b", b"", "user_data")

    page = corpus.files.page(TENANT, PageRequest(), purpose="user_data")

    assert [file.filename for file in page.items] == ["b"]


@pytest.mark.parametrize("limit", [0, 101, -1])
def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(InvalidRequestError, match="1 to 100"):
        PageRequest(limit)


def test_an_unknown_after_is_refused(corpus: Corpus) -> None:
    theirs = corpus.files.add("other", "a", b"").file_id

    for after in ("file-unknown", theirs):
        with pytest.raises(InvalidRequestError, match="not in this list"):
            corpus.files.page(TENANT, PageRequest(after=after))


def test_a_file_has_text_once_it_is_completed(corpus: Corpus) -> None:
    waiting = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    with pytest.raises(ConflictError, match="no text yet"):
        corpus.files.text(TENANT, waiting)

    done = ingest(corpus, "b.md", "beta")

    assert corpus.files.text(TENANT, done) == "beta"


def test_a_deleted_file_leaves_every_store(corpus: Corpus) -> None:
    other_store = corpus.vector_stores.create(TENANT, "other").vector_store_id
    file_id = ingest(corpus, "a.md", "alpha beta gamma")
    ingest(corpus, "a.md", "alpha beta gamma", store=other_store)
    keys = corpus.views.text_changes(TENANT, other_store, 0).added_keys

    corpus.files.delete(TENANT, file_id)

    assert stored_texts(corpus) == stored_texts(corpus, store=other_store) == []
    assert corpus.views.text_changes(TENANT, other_store, 1).removed_keys.tolist() == keys.tolist()
    assert corpus.views.passages([1, 2, 3, 4], SCOPE) == {}
    with pytest.raises(NotFoundError):
        corpus.store_files.get(TENANT, STORE, file_id)
    with pytest.raises(NotFoundError):
        corpus.files.get(TENANT, file_id)


def test_a_blob_stays_until_its_last_file_is_deleted(corpus: Corpus, state_folder: Path) -> None:
    first = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    second = corpus.files.add("other", "b.md", b"alpha").file_id

    corpus.files.delete(TENANT, first)
    still_there = corpus.files.content("other", second)
    corpus.files.delete("other", second)

    assert still_there == b"alpha"
    assert [path for path in (state_folder / "blobs").rglob("*") if path.is_file()] == []


def test_a_deleted_file_can_be_uploaded_again(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    corpus.files.delete(TENANT, file_id)

    again = ingest(corpus, "a.md", "alpha")

    assert again == file_id
    assert stored_texts(corpus) == ["Title\nalpha"]


def test_a_replaced_file_is_found_in_its_old_version_until_the_new_one_is_complete(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    corpus.store_files.attach(TENANT, other, file_id)
    for job in corpus.jobs.claim("worker", 10, 60):
        complete(corpus, job)

    replaced = corpus.files.replace(TENANT, file_id, b"omega omega omega")

    assert (replaced.file_id, replaced.version, replaced.size_bytes) == (file_id, 2, 17)
    assert corpus.store_files.get(TENANT, STORE, file_id).status == "in_progress"
    assert stored_texts(corpus) == stored_texts(corpus, store=other) == ["Title\nalpha"]
    assert corpus.files.text(TENANT, file_id) == "alpha"
    seq = corpus.views.heads([(TENANT, STORE)])[TENANT, STORE].seq
    for job in corpus.jobs.claim("worker", 10, 60):
        complete(corpus, job)
    assert stored_texts(corpus) == stored_texts(corpus, store=other) == ["Title\nomega omeg", "Title\na omega"]
    changes = corpus.views.text_changes(TENANT, STORE, seq)
    assert (changes.up_to_seq, len(changes.added_keys), len(changes.removed_keys)) == (seq + 1, 2, 1)
    assert corpus.store_files.get(TENANT, STORE, file_id).version == 2
    assert corpus.files.text(TENANT, file_id) == "omega omega omega"


def test_the_same_content_again_is_no_new_version(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")

    assert corpus.files.replace(TENANT, file_id, b"alpha").version == 1
    assert corpus.store_files.get(TENANT, STORE, file_id).status == "completed"


def test_replacing_a_file_invalidates_its_job(corpus: Corpus) -> None:
    file_id = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    (old,) = corpus.jobs.claim("worker", 10, 60)
    corpus.files.replace(TENANT, file_id, b"omega")

    with pytest.raises(ConflictError):
        complete(corpus, old)

    (new,) = corpus.jobs.claim("worker", 10, 60)
    complete(corpus, new)
    assert stored_texts(corpus) == ["Title\nomega"]


def test_a_new_version_that_cannot_be_read_leaves_the_old_one_searched(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    corpus.files.replace(TENANT, file_id, b"omega")

    corpus.jobs.fail(corpus.jobs.claim("worker", 1, 60)[0], "invalid_file", "torn")

    assert stored_texts(corpus) == ["Title\nalpha"]
    assert corpus.store_files.get(TENANT, STORE, file_id).status == "failed"


def test_expired_files_are_deleted(corpus: Corpus, clock: Clock) -> None:
    brief = corpus.files.add(TENANT, "a.md", b"alpha", expires_at=int(clock.now) + 3600).file_id
    corpus.store_files.attach(TENANT, STORE, brief)
    complete(corpus, corpus.jobs.claim("worker", 1, 60)[0])
    assert corpus.files.delete_expired() == 0
    clock.now += 3600

    assert corpus.files.delete_expired() == 1

    assert stored_texts(corpus) == []
    with pytest.raises(NotFoundError):
        corpus.files.get(TENANT, brief)


def test_files_are_listed_by_name(corpus: Corpus) -> None:
    for name in ("a.md", "b.md"):
        corpus.files.add(TENANT, name, name.encode())

    page = corpus.files.page(TENANT, PageRequest(), filename="b.md")

    assert [file.filename for file in page.items] == ["b.md"]


def test_old_content_of_a_replaced_file_can_be_uploaded_again(corpus: Corpus) -> None:
    replaced = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    corpus.files.replace(TENANT, replaced, b"omega")

    again = corpus.files.add(TENANT, "a.md", b"alpha")
    newest = corpus.files.add(TENANT, "a.md", b"omega")

    assert again.file_id != replaced
    assert corpus.files.content(TENANT, again.file_id) == b"alpha"
    assert newest.file_id == replaced
    assert corpus.files.add(TENANT, "a.md", b"alpha") == again


def test_an_expired_file_is_uploaded_as_a_new_file(corpus: Corpus, clock: Clock) -> None:
    due = corpus.files.add(TENANT, "a.md", b"alpha", expires_at=int(clock.now) + 3600).file_id
    clock.now += 3600

    again = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    corpus.files.delete_expired()

    assert again != due
    assert corpus.files.content(TENANT, again) == b"alpha"


def test_a_replaced_blob_is_deleted_unless_another_file_uses_it(corpus: Corpus, state_folder: Path) -> None:
    file_id = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    other = corpus.files.add("other", "a.md", b"alpha").file_id

    corpus.files.replace(TENANT, file_id, b"omega")
    shared = corpus.files.content("other", other)
    corpus.files.replace("other", other, b"omega")

    assert shared == b"alpha"
    assert [path.read_bytes() for path in (state_folder / "blobs").rglob("*") if path.is_file()] == [b"omega"]


def test_a_file_is_renamed_without_a_new_version(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")

    renamed = corpus.files.replace(TENANT, file_id, b"alpha", "b.md")

    assert (renamed.filename, renamed.version) == ("b.md", 1)
    (passage,) = corpus.views.passages([1], SCOPE).values()
    assert passage.filename == "b.md"


@pytest.mark.parametrize(("content", "filename", "is_changed"), [(b"alpha", "b.md", True), (b"alpha", "a.md", False)])
def test_a_new_name_changes_the_state_of_the_stores_with_the_file(
    corpus: Corpus, content: bytes, filename: str, is_changed: bool
) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    before = corpus.views.searched_state(SCOPE)

    corpus.files.replace(TENANT, file_id, content, filename)

    assert (corpus.views.searched_state(SCOPE) != before) is is_changed


def test_another_tenants_file_cannot_be_replaced(corpus: Corpus, state_folder: Path) -> None:
    theirs = corpus.files.add("other", "a.md", b"alpha").file_id

    with pytest.raises(NotFoundError, match=f"no file with id '{theirs}'"):
        corpus.files.replace(TENANT, theirs, b"mine now")

    assert corpus.files.content("other", theirs) == b"alpha"
    assert [path.read_bytes() for path in (state_folder / "blobs").rglob("*") if path.is_file()] == [b"alpha"]


def test_a_failed_or_cancelled_file_is_ingested_in_its_next_version(corpus: Corpus) -> None:
    file_id = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    corpus.jobs.fail(corpus.jobs.claim("worker", 1, 60)[0], "invalid_file", "torn")

    corpus.files.replace(TENANT, file_id, b"omega")
    for job in corpus.jobs.claim("worker", 1, 60):
        complete(corpus, job)

    store_file = corpus.store_files.get(TENANT, STORE, file_id)
    assert (store_file.status, store_file.version, store_file.last_error_code) == ("completed", 2, None)
    assert stored_texts(corpus) == ["Title\nomega"]
