"""A standby has the newest backup, whatever was killed, and is never overwritten once callers write to it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backup_samples import FORK, contents
from corpus_samples import TENANT, Clock, complete, ingest

from models.corpus.backup.create import create_backup
from models.corpus.backup.standby import Standby
from models.corpus.corpus import Corpus
from models.corpus.feedback import Judgement
from models.errors import ConfigError, ConflictError
from tests.patience import PATIENCE_S


@pytest.fixture
def second(state_folder: Path, clock: Clock) -> Iterator[Corpus]:
    corpus = open_second(state_folder, clock)
    yield corpus
    corpus.close()


def open_second(folder: Path, clock: Clock) -> Corpus:
    return Corpus.open(f"sqlite:///{folder}/second/ragserve.db", folder / "second" / "files", clock)


@pytest.fixture
def standby(second: Corpus, state_folder: Path) -> Standby:
    return standby_of(second, state_folder)


def standby_of(second: Corpus, folder: Path) -> Standby:
    return Standby(second.database, folder / "second" / "files", folder / "second")


@pytest.fixture
def backup(corpus: Corpus, state_folder: Path) -> Callable[[str], Path]:
    """Backs the corpus up under a name."""

    def make(name: str) -> Path:
        create_backup(corpus.database, state_folder / "blobs", state_folder / name)
        return state_folder / name

    return make


def test_a_standby_follows(corpus: Corpus, second: Corpus, standby: Standby, backup: Callable[[str], Path]) -> None:
    assert standby.backup is None
    for number in range(3):
        ingest(corpus, f"{number}.md", f"text {number} " * 9)
        corpus.files.replace(TENANT, ingest(corpus, "a.md", "alpha"), f"{number}".encode())

        standby.restore(f"backup {number}", backup(f"{number}"))

        assert standby.backup == f"backup {number}"
        assert contents(second.database) == contents(corpus.database)


def test_a_standbys_own_work_is_no_use_of_it(
    corpus: Corpus, second: Corpus, standby: Standby, backup: Callable[[str], Path], clock: Clock
) -> None:
    ingest(corpus, "a.md", "alpha")
    corpus.files.add(TENANT, "brief.md", b"brief", expires_at=int(clock()) + 5)
    waiting = corpus.files.add(TENANT, "waiting.md", b"waiting")
    corpus.store_files.attach(TENANT, "default", waiting.file_id)
    standby.restore("one", backup("one"))

    ingest_waiting(second)
    clock.now += 10
    second.files.delete_expired()

    standby.check_unused()
    standby.restore("two", backup("two"))


def ingest_waiting(corpus: Corpus) -> None:

    for job in corpus.jobs.claim("standby", 9, 60.0):
        complete(corpus, job)


WRITES: dict[str, Callable[[Corpus, str], object]] = {
    "an upload": lambda corpus, file_id: corpus.files.add(TENANT, "new.md", b"new"),
    "a new version": lambda corpus, file_id: corpus.files.replace(TENANT, file_id, b"newer"),
    "a deletion": lambda corpus, file_id: corpus.files.delete(TENANT, file_id),
    "a vector store": lambda corpus, file_id: corpus.vector_stores.create(TENANT, "new"),
    "feedback": lambda corpus, file_id: corpus.feedback.put(TENANT, "req_1", Judgement("good")),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_standby_that_took_over_is_left_alone(
    write: str, corpus: Corpus, second: Corpus, standby: Standby, backup: Callable[[str], Path]
) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    standby.restore("one", backup("one"))
    WRITES[write](second, file_id)
    before = contents(second.database)

    with pytest.raises(ConflictError, match="it is in use"):
        standby.restore("two", backup("two"))

    assert contents(second.database) == before


def test_a_corpus_with_data_of_its_own_becomes_no_standby(
    corpus: Corpus, second: Corpus, standby: Standby, backup: Callable[[str], Path]
) -> None:
    ingest(second, "own.md", "own")
    before = contents(second.database)
    path = backup("one")

    for _ in range(2):  # the first attempt must leave no state that the second one takes for its own
        with pytest.raises(ConflictError, match="the corpus is not empty"):
            standby.restore("one", path)

    assert contents(second.database) == before


def test_a_damaged_backup_leaves_the_standby_as_it_was(
    corpus: Corpus, second: Corpus, standby: Standby, backup: Callable[[str], Path]
) -> None:
    ingest(corpus, "a.md", "alpha")
    standby.restore("one", backup("one"))
    before, path = contents(second.database), backup("two")
    (path / "manifest.json").write_text("{}")

    with pytest.raises(ConfigError):
        standby.restore("two", path)

    assert contents(second.database) == before
    standby.check_unused()
    standby.restore("three", backup("three"))
    assert standby.backup == "three"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_killed_restore_is_no_use_of_the_standby(
    is_first: bool, corpus: Corpus, state_folder: Path, backup: Callable[[str], Path], clock: Clock
) -> None:
    for moment in (1, 4, 30, 60):
        folder = state_folder / f"{moment}"
        ingest(corpus, "a.md", "alpha")
        if not is_first:
            second = open_second(folder, clock)
            standby_of(second, folder).restore("zero", backup(f"zero-{moment}"))
            second.close()
        ingest(corpus, f"{moment}.md", "beta")
        path = backup(f"one-{moment}")

        process = FORK.Process(target=restore_and_die, args=(folder, path, moment))
        process.start()
        process.join(PATIENCE_S)

        assert process.exitcode in (0, -signal.SIGKILL)
        second = open_second(folder, clock)
        standby_of(second, folder).restore("two", path)
        assert contents(second.database) == contents(corpus.database)
        second.close()


def restore_and_die(folder: Path, backup: Path, moment: int) -> None:
    """Run in a child process, which is killed when the restore reports progress for the `moment`-th time."""
    steps = iter(range(1, moment + 1))

    def die(*_: object) -> None:
        if next(steps, moment) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    standby_of(open_second(folder, Clock()), folder).restore("one", backup, die)
