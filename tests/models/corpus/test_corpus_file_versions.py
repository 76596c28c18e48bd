"""Earlier versions of a file: kept as many as configured, and gone with the file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_samples import contents, lost_blobs
from corpus_samples import STORE, TENANT, Clock, complete, ingest

from models.corpus.backup.blob_files import list_digests
from models.corpus.backup.create import create_backup
from models.corpus.backup.restore import restore_backup
from models.corpus.corpus import Corpus
from models.errors.requests import NotFoundError


@pytest.fixture
def versioned(database_url: str, state_folder: Path, clock: Clock) -> Iterator[Corpus]:
    corpus = open_with(2, database_url, state_folder, clock)
    yield corpus
    corpus.close()


def open_with(number: int, url: str, folder: Path, clock: Clock) -> Corpus:
    return Corpus.open(url, folder / "blobs", clock, keep_file_versions=number)


def versions_of(corpus: Corpus, file_id: str, tenant: str = TENANT) -> list[tuple[int, str, bytes]]:
    versions = corpus.files.versions(tenant, file_id)
    return [
        (each.version, each.filename, corpus.files.version_content(tenant, file_id, each.version)) for each in versions
    ]


def ingest_waiting(corpus: Corpus) -> None:
    for job in corpus.jobs.claim("worker", 9, 60.0):
        complete(corpus, job)


def searched_texts(corpus: Corpus) -> list[str]:
    changes = corpus.views.text_changes(TENANT, STORE, 0)
    return sorted(changes.texts)


def test_as_many_earlier_versions_are_kept_as_configured(versioned: Corpus, clock: Clock, state_folder: Path) -> None:
    file_id = ingest(versioned, "a.md", "one")
    for content in (b"two", b"three", b"four"):
        clock.now += 1
        versioned.files.replace(TENANT, file_id, content, "b.md" if content == b"four" else None)

    assert versions_of(versioned, file_id) == [(4, "b.md", b"four"), (3, "a.md", b"three"), (2, "a.md", b"two")]
    replaced = [version.replaced_at for version in versioned.files.versions(TENANT, file_id)]
    assert replaced == [None, int(clock()), int(clock()) - 1]
    assert len(list_digests(state_folder / "blobs")) == 3
    assert versioned.files.usage(TENANT) == (1, len("fourthreetwo"))


def test_by_default_none_is_kept(corpus: Corpus, state_folder: Path) -> None:
    file_id = ingest(corpus, "a.md", "one")
    corpus.files.replace(TENANT, file_id, b"two")

    assert versions_of(corpus, file_id) == [(2, "a.md", b"two")]
    assert len(list_digests(state_folder / "blobs")) == 1


def test_a_restored_version_is_the_next_version_and_is_searched(versioned: Corpus) -> None:
    file_id = ingest(versioned, "a.md", "one")
    versioned.files.replace(TENANT, file_id, b"two", "b.md")
    ingest_waiting(versioned)
    assert [text[-3:] for text in searched_texts(versioned)] == ["two"]

    restored = versioned.files.restore(TENANT, file_id, 1)
    ingest_waiting(versioned)

    assert (restored.version, restored.filename, restored.size_bytes) == (3, "a.md", 3)
    assert [text[-3:] for text in searched_texts(versioned)] == ["one"]
    assert versions_of(versioned, file_id) == [(3, "a.md", b"one"), (2, "b.md", b"two"), (1, "a.md", b"one")]
    assert versioned.files.content(TENANT, file_id) == b"one"


def test_a_version_that_is_not_there_is_not_restored(versioned: Corpus) -> None:
    file_id = ingest(versioned, "a.md", "one")
    versioned.files.replace(TENANT, file_id, b"two")
    before = contents(versioned.database)

    for tenant, version in ((TENANT, 2), (TENANT, 3), ("acme", 1)):
        with pytest.raises(NotFoundError):
            versioned.files.restore(tenant, file_id, version)
    with pytest.raises(NotFoundError):
        versioned.files.version_content(TENANT, file_id, 9)
    with pytest.raises(NotFoundError):
        versioned.files.versions("acme", file_id)

    assert contents(versioned.database) == before


def test_a_deleted_file_leaves_no_version(versioned: Corpus, state_folder: Path) -> None:
    file_id = ingest(versioned, "a.md", "secret")
    versioned.files.replace(TENANT, file_id, b"public")
    versioned.files.replace(TENANT, file_id, b"shared")
    shared = versioned.files.add("acme", "shared.md", b"shared")

    versioned.files.delete(TENANT, file_id)

    assert list_digests(state_folder / "blobs") == {shared.sha256}
    assert [table for table, rows in contents(versioned.database).items() if "secret" in "".join(rows)] == []
    assert contents(versioned.database)["file_versions"] == []


def test_content_that_an_earlier_version_shares_with_a_file_stays(versioned: Corpus) -> None:
    first, second = ingest(versioned, "a.md", "one"), ingest(versioned, "b.md", "one")
    versioned.files.replace(TENANT, first, b"two")

    versioned.files.delete(TENANT, second)

    assert versioned.files.version_content(TENANT, first, 1) == b"one"


@pytest.mark.parametrize(("number", "remaining"), [(0, 0), (1, 1), (2, 2)])
def test_a_lowered_number_is_applied_to_all_files(
    number: int, remaining: int, versioned: Corpus, database_url: str, state_folder: Path, clock: Clock
) -> None:
    file_id = ingest(versioned, "a.md", "one")
    for content in (b"two", b"three"):
        versioned.files.replace(TENANT, file_id, content)
    lowered = open_with(number, database_url, state_folder, clock)

    lowered.files.trim_versions()

    assert len(lowered.files.versions(TENANT, file_id)) == 1 + remaining
    assert len(list_digests(state_folder / "blobs")) == 1 + remaining
    assert lost_blobs(lowered.database, state_folder / "blobs") == []
    lowered.close()


def test_versions_are_in_a_backup(versioned: Corpus, state_folder: Path) -> None:
    file_id = ingest(versioned, "a.md", "one")
    versioned.files.replace(TENANT, file_id, b"two")
    manifest = create_backup(versioned.database, state_folder / "blobs", state_folder / "backup")
    target = Corpus.open(f"sqlite:///{state_folder}/target.db", state_folder / "target", keep_file_versions=2)

    restore_backup(target.database, state_folder / "target", state_folder / "backup")

    assert (manifest.num_blobs, manifest.blob_bytes) == (2, 6)
    assert versions_of(target, file_id) == [(2, "a.md", b"two"), (1, "a.md", b"one")]
    target.close()
