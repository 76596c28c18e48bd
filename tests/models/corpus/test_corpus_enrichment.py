"""Stores that ask for more than chunks: derived attributes, masked texts, near-duplicates."""

from dataclasses import replace
from pathlib import Path

import pytest
from corpus_samples import GENERATION, SCOPE, STORE, TENANT, Follower, completion_of, embed, ingest

from models.corpus.backup.create import create_backup
from models.corpus.backup.restore import restore_backup
from models.corpus.completion import Completion
from models.corpus.corpus import Corpus
from models.corpus.filtered_files import FileChanges
from models.corpus.records import Job, PageRequest, StoreFile
from models.corpus.store_changes import VectorStoreChanges
from models.enrichment.options import KINDS, PLAIN, Enrichment, IngestOptions
from models.enrichment.sketch import sketch_of
from models.errors.requests import ConflictError
from models.filters import Attributes, Comparison
from models.types.chunks import Chunk

MASKING = IngestOptions(masked=KINDS)
LANGUAGE = IngestOptions(Enrichment(language=True))
DUPLICATES = IngestOptions(Enrichment(min_similarity=0.8))
GERMAN = {"auto.language": "de"}


def store_with(corpus: Corpus, options: IngestOptions, name: str = "s") -> str:
    return corpus.vector_stores.create(TENANT, name, options=options).vector_store_id


def claim(corpus: Corpus) -> Job:
    (job,) = corpus.jobs.claim("worker", 10, 60)
    return job


def finish(corpus: Corpus, job: Job, text: str | None = None, **derived: object) -> None:
    """Complete the job as a parser would that found `text`, and what `derived` says."""
    done = completion_of(corpus, job)
    if text is not None:
        chunks = [Chunk(text, 0, len(text), "", 3, (0, len(text)))]
        done = Completion(job, text, chunks, {GENERATION: embed(chunks)})
    (error,) = corpus.jobs.complete_all([replace(done, **derived)])
    if error is not None:
        raise error


def add(corpus: Corpus, store: str, name: str, content: str, text: str | None = None, **derived: object) -> str:
    file = corpus.files.add(TENANT, name, content.encode())
    corpus.store_files.attach(TENANT, store, file.file_id)
    finish(corpus, claim(corpus), text, **derived)
    return file.file_id


def seen(corpus: Corpus, file_id: str, store: str = STORE) -> StoreFile:
    return corpus.store_files.get(TENANT, store, file_id)


def labels(corpus: Corpus) -> list[Attributes]:
    follower = Follower()
    follower.catch_up(corpus, 100)
    return list(follower.labels_of_chunks().values())


def test_a_store_asks_for_nothing_by_default(corpus: Corpus) -> None:
    corpus.files.add(TENANT, "a.md", b"alpha")
    file_id = ingest(corpus, "a.md", "alpha")

    assert corpus.vector_stores.get(TENANT, STORE).options == PLAIN
    assert (seen(corpus, file_id).derived, seen(corpus, file_id).duplicates) == ({}, None)


def test_a_job_has_the_options_of_its_store(corpus: Corpus) -> None:
    options = IngestOptions(Enrichment(True, True, True, 4, 0.75), ("email", "iban"))
    store = store_with(corpus, options)
    corpus.store_files.attach(TENANT, store, corpus.files.add(TENANT, "a.md", b"alpha").file_id)

    assert claim(corpus).options == corpus.vector_stores.get(TENANT, store).options == options


def test_other_options_ingest_the_files_again_and_the_old_chunks_stay(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")

    corpus.vector_stores.modify(TENANT, STORE, VectorStoreChanges(name="same", masked=()))
    assert seen(corpus, file_id).status == "completed"
    corpus.vector_stores.modify(TENANT, STORE, VectorStoreChanges(masked=("email",)))

    assert seen(corpus, file_id).status == "in_progress"
    assert [chunk.text for chunk in corpus.store_files.chunks(TENANT, STORE, file_id)] == ["alpha"]
    assert claim(corpus).options == IngestOptions(masked=("email",))


def test_a_worker_cannot_complete_a_file_as_the_options_were_before(corpus: Corpus) -> None:
    corpus.store_files.attach(TENANT, STORE, corpus.files.add(TENANT, "a.md", b"alpha").file_id)
    old = claim(corpus)

    corpus.vector_stores.modify(TENANT, STORE, VectorStoreChanges(masked=KINDS))

    with pytest.raises(ConflictError):
        finish(corpus, old)
    assert claim(corpus).options == MASKING


def test_a_failed_version_whose_predecessor_is_searched_is_ingested_again_too(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    never = corpus.files.add(TENANT, "b.md", b"beta").file_id
    corpus.store_files.attach(TENANT, STORE, never)
    corpus.jobs.fail(claim(corpus), "invalid_file", "broken")
    corpus.files.replace(TENANT, file_id, b"omega")
    corpus.jobs.fail(claim(corpus), "invalid_file", "broken")

    corpus.vector_stores.modify(TENANT, STORE, VectorStoreChanges(masked=KINDS))

    assert claim(corpus).file_id == file_id
    assert (seen(corpus, file_id).failure, seen(corpus, never).status) == (None, "failed")


def test_derived_attributes_are_filtered_and_the_callers_win(corpus: Corpus) -> None:
    file_id = add(corpus, STORE, "a.md", "alpha", derived=GERMAN | {"auto.title": "Hafen"})
    assert labels(corpus) == [GERMAN | {"auto.title": "Hafen"}]

    corpus.store_files.set_attributes(TENANT, STORE, file_id, {"auto.title": "mine", "year": 2024})

    assert labels(corpus) == [GERMAN | {"auto.title": "mine", "year": 2024}]
    assert seen(corpus, file_id).attributes == {"auto.title": "mine", "year": 2024}
    assert seen(corpus, file_id).derived == GERMAN | {"auto.title": "Hafen"}
    (passage,) = corpus.views.passages([1], SCOPE).values()
    assert passage.attributes == GERMAN | {"auto.title": "mine", "year": 2024}


def test_derived_attributes_change_with_the_next_version(corpus: Corpus) -> None:
    file_id = add(corpus, STORE, "a.md", "alpha", derived=GERMAN)
    follower = Follower()
    follower.catch_up(corpus, 100)

    corpus.files.replace(TENANT, file_id, b"omega")
    finish(corpus, claim(corpus), derived={"auto.language": "fr"})
    follower.catch_up(corpus, 100)
    assert list(follower.labels_of_chunks().values()) == [{"auto.language": "fr"}]

    corpus.files.replace(TENANT, file_id, b"alpha")
    finish(corpus, claim(corpus))
    follower.catch_up(corpus, 100)
    assert list(follower.labels_of_chunks().values()) == [{}]


def test_files_are_changed_by_a_filter_on_derived_attributes(corpus: Corpus) -> None:
    german = add(corpus, STORE, "a.md", "alpha", derived=GERMAN)
    other = add(corpus, STORE, "b.md", "beta")
    is_german = Comparison("eq", "auto.language", "de")

    assert corpus.filtered_files.update(TENANT, STORE, is_german, FileChanges({"team": "north"})) == 1

    assert (seen(corpus, german).attributes, seen(corpus, other).attributes) == ({"team": "north"}, {})
    assert seen(corpus, german).derived == GERMAN
    assert corpus.filtered_files.delete(TENANT, STORE, is_german) == 1


def test_a_masked_text_is_the_only_one_of_its_file(corpus: Corpus) -> None:
    store = store_with(corpus, MASKING)

    file_id = add(corpus, store, "a.md", "jane@example.com", "[EMAIL]")

    assert corpus.files.text(TENANT, file_id) == corpus.files.text(TENANT, file_id, store) == "[EMAIL]"
    assert _tables_with(corpus, "jane@") == []
    (chunk,) = corpus.store_files.chunks(TENANT, store, file_id)
    assert corpus.views.shown_texts([1], replace(SCOPE, vector_store_ids=(store,))) == {1: "[EMAIL]"}
    assert chunk.text == "[EMAIL]"


def test_a_store_that_begins_to_mask_removes_the_text_from_before(corpus: Corpus) -> None:
    file_id = add(corpus, STORE, "a.md", "jane@example.com")
    corpus.vector_stores.modify(TENANT, STORE, VectorStoreChanges(masked=KINDS))

    finish(corpus, claim(corpus), "[EMAIL]")

    assert corpus.files.text(TENANT, file_id) == "[EMAIL]"
    assert _tables_with(corpus, "jane@") == []


def test_each_store_has_its_own_text_and_without_a_store_the_masked_one_is_shown(corpus: Corpus) -> None:
    masking = store_with(corpus, MASKING)
    file_id = add(corpus, STORE, "a.md", "jane@example.com", "jane@example.com")
    add(corpus, masking, "a.md", "jane@example.com", "[EMAIL]")

    assert corpus.files.text(TENANT, file_id, STORE) == "jane@example.com"
    assert corpus.files.text(TENANT, file_id, masking) == corpus.files.text(TENANT, file_id) == "[EMAIL]"
    scope = replace(SCOPE, vector_store_ids=(STORE, masking))
    assert sorted(corpus.views.shown_texts([1, 2], scope).values()) == ["[EMAIL]", "jane@example.com"]

    corpus.store_files.detach(TENANT, masking, file_id)
    assert corpus.files.text(TENANT, file_id) == "jane@example.com"
    with pytest.raises(ConflictError):
        corpus.files.text(TENANT, file_id, masking)


def test_a_store_that_masks_no_longer_has_the_files_own_text(corpus: Corpus) -> None:
    store = store_with(corpus, MASKING)
    file_id = add(corpus, store, "a.md", "jane@example.com", "[EMAIL]")

    corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(masked=()))
    finish(corpus, claim(corpus))

    assert corpus.files.text(TENANT, file_id) == corpus.files.text(TENANT, file_id, store) == "jane@example.com"


def contract(customer: str) -> str:
    clauses = " ".join(f"clause {number} obliges the tenant of room {number}" for number in range(60))
    return f"Contract with {customer}. {clauses}"


def test_near_duplicates_are_named_in_every_description_of_a_file(corpus: Corpus) -> None:
    store = store_with(corpus, DUPLICATES)
    texts = {name: contract(name) for name in ("Abel", "Baker", "Cook")} | {"tides": "the tide " * 40}
    ids = {name: add(corpus, store, name, text, sketch=sketch_of(text)) for name, text in texts.items()}
    copy = add(corpus, store, "copy", contract("Abel"), sketch=sketch_of(contract("Abel")))

    abel, tides = seen(corpus, ids["Abel"], store).duplicates, seen(corpus, ids["tides"], store).duplicates

    assert abel is not None
    assert (abel[0].file_id, abel[0].similarity, abel[0].is_exact) == (copy, 1.0, True)
    assert {duplicate.file_id for duplicate in abel[1:]} == {ids["Baker"], ids["Cook"]}
    assert all(0.9 < duplicate.similarity < 1 and not duplicate.is_exact for duplicate in abel[1:])
    assert tides == ()
    page = corpus.store_files.page(TENANT, store, PageRequest(limit=10))
    assert {file.file_id: file.duplicates for file in page.items}[ids["Abel"]] == abel

    corpus.files.delete(TENANT, copy)
    corpus.vector_stores.modify(TENANT, store, VectorStoreChanges(enrichment=Enrichment()))
    assert seen(corpus, ids["Abel"], store).duplicates is None


def test_a_replaced_file_is_no_duplicate_of_what_it_was(corpus: Corpus) -> None:
    store = store_with(corpus, DUPLICATES)
    first = add(corpus, store, "a", contract("Abel"), sketch=sketch_of(contract("Abel")))
    second = add(corpus, store, "b", contract("Baker"), sketch=sketch_of(contract("Baker")))
    assert len(seen(corpus, first, store).duplicates or ()) == 1

    corpus.files.replace(TENANT, second, b"the tide comes twice a month")
    finish(corpus, claim(corpus), sketch=sketch_of("the tide comes twice a month"))

    assert seen(corpus, first, store).duplicates == ()


def test_of_many_files_from_one_template_the_most_similar_are_named(corpus: Corpus) -> None:
    store = store_with(corpus, DUPLICATES)
    for number in range(8):
        add(
            corpus, store, f"{number}", contract(f"customer {number}"), sketch=sketch_of(contract(f"customer {number}"))
        )
    last = add(corpus, store, "last", contract("customer 7"), sketch=sketch_of(contract("customer 7")))

    duplicates = seen(corpus, last, store).duplicates

    assert duplicates is not None
    assert len(duplicates) == 5
    assert duplicates[0].is_exact


def test_a_restored_corpus_has_all_of_it(corpus: Corpus, state_folder: Path) -> None:
    store = store_with(corpus, IngestOptions(Enrichment(language=True, min_similarity=0.8), ("email",)))
    sketch = sketch_of(contract("Abel"))
    ids = [add(corpus, store, name, contract(name), "[EMAIL]", derived=GERMAN, sketch=sketch) for name in ("a", "b")]
    before = [seen(corpus, file_id, store) for file_id in ids]
    create_backup(corpus.database, state_folder / "blobs", state_folder / "backup")

    corpus.vector_stores.delete(TENANT, store)
    restore_backup(corpus.database, state_folder / "blobs", state_folder / "backup", replace=True)

    assert [seen(corpus, file_id, store) for file_id in ids] == before
    assert before[0].duplicates
    assert corpus.vector_stores.get(TENANT, store).options.masked == ("email",)
    assert corpus.files.text(TENANT, ids[0], store) == "[EMAIL]"


def _tables_with(corpus: Corpus, text: str) -> list[str]:
    """The tables that have the text anywhere."""
    from models.corpus.columns import metadata

    with corpus.database.reading() as connection:
        return [table.name for table in metadata.sorted_tables if text in str(connection.execute(table.select()).all())]
