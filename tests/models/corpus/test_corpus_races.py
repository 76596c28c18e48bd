"""Two concurrent writers on one file: each takes effect completely before or after the other."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import pytest
from corpus_samples import STORE, TENANT, Clock, complete, ingest, stored_texts

from models.corpus.corpus import Corpus
from models.errors.requests import ConflictError, NotFoundError
from tests.patience import PATIENCE_S

NUM_ROUNDS = 15


@pytest.fixture
def second(corpus: Corpus, database_url: str, state_folder: Path, clock: Clock) -> Iterator[Corpus]:
    """The same corpus opened again, with its own locks and connections, as in another process."""
    second = Corpus.open(database_url, state_folder / "blobs", clock)
    yield second
    second.close()


def at_once(*actions: Callable[[], object]) -> None:
    """Run all actions at once. Raise any error but the two that the race may cause."""
    barrier = Barrier(len(actions))

    def act(action: Callable[[], object]) -> None:
        barrier.wait(PATIENCE_S)
        with suppress(NotFoundError, ConflictError):
            action()

    with ThreadPoolExecutor(len(actions)) as threads:
        list(threads.map(act, actions))


def blobs(state_folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (state_folder / "blobs").rglob("*") if path.is_file()]


def test_a_file_that_is_deleted_while_it_is_replaced_is_gone(
    corpus: Corpus, second: Corpus, state_folder: Path
) -> None:
    for number in range(NUM_ROUNDS):
        file_id = ingest(corpus, f"{number}.md", "alpha")

        at_once(
            lambda file_id=file_id: corpus.files.delete(TENANT, file_id),
            lambda file_id=file_id: second.files.replace(TENANT, file_id, b"omega"),
        )

        with pytest.raises(NotFoundError):
            corpus.files.get(TENANT, file_id)
    assert stored_texts(corpus) == []
    assert corpus.jobs.claim("worker", 100, 60) == []
    assert blobs(state_folder) == []


def test_two_replacements_are_two_versions(corpus: Corpus, second: Corpus, state_folder: Path) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    for number in range(NUM_ROUNDS):
        contents = [f"{side} {number}".encode() for side in ("one", "two")]

        at_once(
            lambda content=contents[0]: corpus.files.replace(TENANT, file_id, content),
            lambda content=contents[1]: second.files.replace(TENANT, file_id, content),
        )

        assert corpus.files.get(TENANT, file_id).version == 1 + 2 * (number + 1)
        assert corpus.files.content(TENANT, file_id) in contents
    assert blobs(state_folder) == [corpus.files.content(TENANT, file_id)]
    (job,) = corpus.jobs.claim("worker", 100, 60)
    complete(corpus, job)
    assert stored_texts(corpus) == [f"Title\n{corpus.files.content(TENANT, file_id).decode()}"]


def test_completing_during_a_replacement_stores_one_version(corpus: Corpus, second: Corpus) -> None:
    for number in range(NUM_ROUNDS):
        file_id = corpus.files.add(TENANT, f"{number}.md", b"alpha").file_id
        corpus.store_files.attach(TENANT, STORE, file_id)
        (job,) = corpus.jobs.claim("worker", 1, 60)

        at_once(
            lambda job=job: complete(corpus, job),
            lambda file_id=file_id: second.files.replace(TENANT, file_id, b"omega"),
        )
        store_file = corpus.store_files.get(TENANT, STORE, file_id)
        searched = [chunk.text for chunk in corpus.store_files.chunks(TENANT, STORE, file_id)]
        (again,) = corpus.jobs.claim("worker", 1, 60)
        complete(corpus, again)

        assert (store_file.status, store_file.version, searched) in [
            ("in_progress", 0, []),
            ("in_progress", 1, ["alpha"]),
        ]
        assert [chunk.text for chunk in corpus.store_files.chunks(TENANT, STORE, file_id)] == ["omega"]


def test_content_is_read_whole_while_it_is_replaced(corpus: Corpus, second: Corpus) -> None:
    contents = [str(number).encode() * 1000 for number in range(2)]
    file_id = corpus.files.add(TENANT, "a.md", contents[0]).file_id
    num_versions, contents_read = 200, set()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(
            lambda: [second.files.replace(TENANT, file_id, contents[number % 2]) for number in range(1, num_versions)]
        )
        while not writing.done():
            contents_read.add(corpus.files.content(TENANT, file_id))

    assert writing.exception() is None
    assert contents_read <= set(contents)
    assert corpus.files.get(TENANT, file_id).version == num_versions


def test_attributes_set_while_a_file_is_completed_are_kept(corpus: Corpus, second: Corpus) -> None:
    for number in range(NUM_ROUNDS):
        file_id = corpus.files.add(TENANT, f"{number}.md", b"alpha").file_id
        corpus.store_files.attach(TENANT, STORE, file_id)
        (job,) = corpus.jobs.claim("worker", 1, 60)

        at_once(
            lambda job=job: complete(corpus, job),
            lambda file_id=file_id, number=number: second.store_files.set_attributes(
                TENANT, STORE, file_id, {"round": number}
            ),
        )

    changes = corpus.views.text_changes(TENANT, STORE, 0)
    assert len(changes.added_keys) == NUM_ROUNDS
    assert sorted(attributes["round"] for attributes in changes.attributes.values()) == list(range(NUM_ROUNDS))
