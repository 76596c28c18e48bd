import pytest
from corpus_samples import SCOPE, STORE, TENANT, complete, ingest, stored_texts

from models.corpus.chunking import Chunking
from models.corpus.corpus import Corpus
from models.corpus.records import Attributes, PageRequest
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError


def upload(corpus: Corpus, name: str = "a.md") -> str:
    return corpus.files.add(TENANT, name, b"alpha beta gamma").file_id


def test_an_attached_file_waits_to_be_ingested(corpus: Corpus) -> None:
    file_id = upload(corpus)

    attached = corpus.store_files.attach(TENANT, STORE, file_id, Chunking(200, 20), {"year": 2024.0, "draft": True})

    assert attached.status == "in_progress"
    assert attached.chunking == Chunking(200, 20)
    assert attached.attributes == {"year": 2024.0, "draft": True}
    assert attached.usage_bytes == 0
    assert corpus.store_files.get(TENANT, STORE, file_id) == attached


@pytest.mark.parametrize("is_completed", [False, True])
def test_attaching_again_changes_nothing(corpus: Corpus, is_completed: bool) -> None:
    file_id = upload(corpus)
    corpus.store_files.attach(TENANT, STORE, file_id, None, {"lang": "en"})
    if is_completed:
        complete(corpus, corpus.jobs.claim("worker", 1, 60)[0])
    before, texts = corpus.store_files.get(TENANT, STORE, file_id), stored_texts(corpus)

    again = corpus.store_files.attach(TENANT, STORE, file_id)

    assert again == before
    assert stored_texts(corpus) == texts
    assert len(corpus.jobs.claim("another", 10, 60)) == (0 if is_completed else 1)


def test_new_attributes_need_no_new_embedding(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    texts = stored_texts(corpus)

    again = corpus.store_files.attach(TENANT, STORE, file_id, None, {"lang": "de"})

    assert (again.status, again.attributes) == ("completed", {"lang": "de"})
    assert stored_texts(corpus) == texts
    assert corpus.jobs.claim("worker", 10, 60) == []


def test_a_new_chunking_replaces_the_old_one_when_complete(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    keys = corpus.views.text_changes(TENANT, STORE, 0).added_keys

    again = corpus.store_files.attach(TENANT, STORE, file_id, Chunking(100, 0))

    assert (again.status, again.version, again.chunking) == ("in_progress", 1, Chunking(100, 0))
    assert len(corpus.views.passages(keys, SCOPE)) == 1
    (job,) = corpus.jobs.claim("worker", 10, 60)
    assert job.chunking == Chunking(100, 0)
    complete(corpus, job)
    assert corpus.views.passages(keys, SCOPE) == {}
    assert stored_texts(corpus) == ["Title\nalpha"]


def test_a_changed_attribute_is_in_the_log_and_needs_no_new_chunk(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    before = corpus.views.text_changes(TENANT, STORE, 0)

    changed = corpus.store_files.set_attributes(TENANT, STORE, file_id, {"year": 1999, "draft": False})
    after = corpus.views.text_changes(TENANT, STORE, before.up_to_seq)

    assert changed.attributes == {"year": 1999, "draft": False}
    assert after.attributes == {int(before.added_file_keys[0]): {"year": 1999, "draft": False}}
    assert (len(after.added_keys), len(after.removed_keys)) == (0, 0)
    (passage,) = corpus.views.passages(before.added_keys, SCOPE).values()
    assert passage.attributes == {"year": 1999, "draft": False}


def test_chunks_are_read_in_the_files_order(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha beta gamma")

    chunks = corpus.store_files.chunks(TENANT, STORE, file_id)

    assert [(chunk.text, chunk.start, chunk.end) for chunk in chunks] == [("alpha beta", 0, 10), (" gamma", 10, 16)]
    with pytest.raises(NotFoundError):
        corpus.store_files.chunks("other", STORE, file_id)


def test_a_failed_file_is_tried_again(corpus: Corpus) -> None:
    file_id = upload(corpus)
    corpus.store_files.attach(TENANT, STORE, file_id)
    corpus.jobs.fail(corpus.jobs.claim("worker", 1, 60)[0], "unsupported_file", "no text in it")
    failed = corpus.store_files.get(TENANT, STORE, file_id)

    again = corpus.store_files.attach(TENANT, STORE, file_id)

    assert (failed.status, failed.last_error_code) == ("failed", "unsupported_file")
    assert failed.last_error_message == "no text in it"
    assert (again.status, again.last_error_code, again.last_error_message) == ("in_progress", None, None)
    assert [job.attempt for job in corpus.jobs.claim("worker", 10, 60)] == [1]


def test_files_are_listed_by_status_and_page(corpus: Corpus) -> None:
    done = [ingest(corpus, name, name) for name in ("a", "b", "c")]
    waiting = upload(corpus, "d")
    corpus.store_files.attach(TENANT, STORE, waiting)

    first = corpus.store_files.page(TENANT, STORE, PageRequest(2, order="asc"), "completed")
    second = corpus.store_files.page(TENANT, STORE, PageRequest(2, first.items[-1].file_id, "asc"), "completed")
    in_progress = corpus.store_files.page(TENANT, STORE, PageRequest(), "in_progress")

    assert [item.file_id for item in first.items + second.items] == done
    assert (first.has_more, second.has_more) == (True, False)
    assert [item.file_id for item in in_progress.items] == [waiting]


def test_a_page_after_a_file_of_another_store_is_refused(corpus: Corpus) -> None:
    file_id = upload(corpus)

    with pytest.raises(InvalidRequestError, match="not in this list"):
        corpus.store_files.page(TENANT, STORE, PageRequest(after=file_id))


def test_a_detached_file_is_not_found(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    changes = corpus.views.text_changes(TENANT, STORE, 0)

    corpus.store_files.detach(TENANT, STORE, file_id)

    assert corpus.views.passages(changes.added_keys, SCOPE) == {}
    assert corpus.views.text_changes(TENANT, STORE, changes.up_to_seq).removed_keys.tolist() == [1]
    assert corpus.files.content(TENANT, file_id) == b"alpha"
    for method in (corpus.store_files.get, corpus.store_files.detach):
        with pytest.raises(NotFoundError, match="vector store file"):
            method(TENANT, STORE, file_id)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({str(number): True for number in range(17)}, "at most 16"),
        ({"k" * 65: "v"}, "1 to 64"),
        ({"": "v"}, "1 to 64"),
        ({"k": "v" * 513}, "at most 512"),
        ({"k": float("nan")}, "not a finite number"),
        ({"k": "a\0b"}, "NUL"),
        ({"\ud800": "v"}, "lone surrogates"),
        ({"k": None}, "must be a string"),
        ({"k": ["v"]}, "must be a string"),
    ],
)
def test_attributes_beyond_the_limits_are_refused(corpus: Corpus, attributes: Attributes, problem: str) -> None:
    file_id = upload(corpus)

    with pytest.raises(InvalidRequestError, match=problem):
        corpus.store_files.attach(TENANT, STORE, file_id, None, attributes)

    with pytest.raises(NotFoundError):
        corpus.store_files.get(TENANT, STORE, file_id)


def test_attributes_at_the_limits_are_kept(corpus: Corpus) -> None:
    attributes: Attributes = {f"{number:064}": "v" * 512 for number in range(16)}

    attached = corpus.store_files.attach(TENANT, STORE, upload(corpus), None, attributes)

    assert attached.attributes == attributes


def test_an_unknown_file_cannot_be_attached(corpus: Corpus) -> None:
    with pytest.raises(NotFoundError, match="no file with id 'file-1'"):
        corpus.store_files.attach(TENANT, STORE, "file-1")
    with pytest.raises(NotFoundError, match="no vector store with id 'vs_1'"):
        corpus.store_files.attach(TENANT, "vs_1", upload(corpus))


def test_attributes_of_an_unattached_file_cannot_be_set(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    head = corpus.views.heads([(TENANT, STORE)])

    for tenant, store, file in (("other", STORE, file_id), (TENANT, "vs_1", file_id), (TENANT, STORE, "file-1")):
        with pytest.raises(NotFoundError):
            corpus.store_files.set_attributes(tenant, store, file, {"year": 1999})

    assert corpus.store_files.get(TENANT, STORE, file_id).attributes == {}
    assert corpus.views.heads([(TENANT, STORE)]) == head


def test_attributes_given_before_completion_come_with_the_chunks(corpus: Corpus) -> None:
    file_id = upload(corpus)
    corpus.store_files.attach(TENANT, STORE, file_id, None, {"year": 1999})
    complete(corpus, corpus.jobs.claim("worker", 1, 60)[0])

    changes = corpus.views.text_changes(TENANT, STORE, 0)

    assert changes.attributes == {int(changes.added_file_keys[0]): {"year": 1999}}


def test_changing_the_chunking_invalidates_the_job(corpus: Corpus) -> None:
    file_id = upload(corpus)
    corpus.store_files.attach(TENANT, STORE, file_id)
    (old,) = corpus.jobs.claim("worker", 1, 60)
    corpus.store_files.attach(TENANT, STORE, file_id, Chunking(100, 0))

    with pytest.raises(ConflictError, match="no longer valid"):
        complete(corpus, old)

    assert corpus.jobs.claim("worker", 1, 60)[0].chunking == Chunking(100, 0)
