"""A standby has the newest backup, whatever was killed, and is never overwritten once callers write to it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from backup_samples import FORK, contents, new_database, postgresql_server
from corpus_samples import TENANT, Clock, complete, ingest
from sqlalchemy import event, insert

from models.corpus.backup.create import create_backup
from models.corpus.backup.standby import Standby
from models.corpus.corpus import Corpus
from models.corpus.feedback import Judgement
from models.corpus.schema import files
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError
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


@pytest.mark.parametrize("content", ["", "[]", "[{}]", '[{"backup": "a", "written": {}, "more": 1}]'])
def test_a_damaged_state_is_refused(
    content: str, corpus: Corpus, standby: Standby, state_folder: Path, backup: Callable[[str], Path]
) -> None:
    standby.restore("one", backup("one"))
    (state_folder / "second" / "standby.json").write_text(content)

    with pytest.raises(ConfigError, match="is damaged"):
        standby.restore("two", backup("two"))


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


class BrokenOffError(Exception):
    pass


@contextmanager
def failing_commits(corpus: Corpus) -> Iterator[None]:
    """As a kill just before the commit: PostgreSQL's sequences stay raised."""

    def fail(_: object) -> None:
        raise BrokenOffError

    engine = corpus.database._engine
    event.listen(engine, "commit", fail)
    try:
        yield
    finally:
        event.remove(engine, "commit", fail)


def check_a_restore_that_breaks_off(
    corpus: Corpus, second: Corpus, folder: Path, backup: Callable[[str], Path]
) -> None:
    ingest(corpus, "a.md", "alpha")
    standby = standby_of(second, folder)
    standby.restore("one", backup("one"))
    ingest(corpus, "b.md", "beta")
    path, before = backup("two"), contents(second.database)

    for _ in range(2):
        with failing_commits(second), pytest.raises(BrokenOffError):
            standby.restore("two", path)
        assert contents(second.database) == before
        assert standby.backup == "one"
        standby.check_unused()
    standby.restore("two", path)

    assert contents(second.database) == contents(corpus.database)
    assert standby.backup == "two"
    second.files.add(TENANT, "own.md", b"of the standby")
    with pytest.raises(ConflictError, match="it is in use"):
        standby.restore("three", backup("three"))


def test_a_restore_that_breaks_off_is_no_use_of_the_standby(
    corpus: Corpus, second: Corpus, state_folder: Path, backup: Callable[[str], Path]
) -> None:
    check_a_restore_that_breaks_off(corpus, second, state_folder, backup)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


@pytest.fixture
def second_on_postgresql(postgresql: str, state_folder: Path, clock: Clock) -> Iterator[Corpus]:
    (state_folder / "second").mkdir(exist_ok=True)
    corpus = Corpus.open(new_database(postgresql, "second"), state_folder / "second" / "files", clock)
    yield corpus
    corpus.close()


@pytest.mark.slow
def test_a_restore_that_breaks_off_on_postgresql_is_no_use_of_the_standby(
    corpus: Corpus, second_on_postgresql: Corpus, state_folder: Path, backup: Callable[[str], Path]
) -> None:
    check_a_restore_that_breaks_off(corpus, second_on_postgresql, state_folder, backup)


@pytest.mark.slow
def test_a_standby_on_postgresql_follows_and_is_left_alone_in_use(
    corpus: Corpus, second_on_postgresql: Corpus, state_folder: Path, backup: Callable[[str], Path], clock: Clock
) -> None:
    second = second_on_postgresql
    standby = standby_of(second, state_folder)
    ingest(corpus, "a.md", "alpha")
    corpus.files.add(TENANT, "brief.md", b"brief", expires_at=int(clock()) + 5)
    for number in range(2):
        standby.restore(f"backup {number}", backup(f"{number}"))
        assert contents(second.database) == contents(corpus.database)
        ingest(corpus, f"{number}.md", f"text {number} " * 9)
    clock.now += 10
    second.files.delete_expired()  # its own housekeeping
    refuse_an_upload(second)
    standby.check_unused()

    WRITES["an upload"](second, "")
    with pytest.raises(ConflictError, match="it is in use"):
        standby.restore("later", backup("later"))


def refuse_an_upload(corpus: Corpus) -> None:
    """A write that is rolled back: PostgreSQL does not give its key back."""
    row = {"tenant": TENANT, "file_id": "file-x", "filename": "x", "digest": "0" * 64, "size_bytes": 1, "purpose": "x"}
    with suppress(BrokenOffError), corpus.database.writing() as connection:
        connection.execute(insert(files).values(**row, created_at=0, version=1))
        raise BrokenOffError


@pytest.mark.parametrize("has_one", [True, False])
def test_a_write_after_a_restore_that_broke_off_is_noticed(
    has_one: bool, corpus: Corpus, second: Corpus, standby: Standby, backup: Callable[[str], Path]
) -> None:
    """Also if callers have written as much as the backup has."""
    if has_one:
        standby.restore("zero", backup("zero"))
    corpus.files.add(TENANT, "a.md", b"alpha")
    path, num_rounds = backup("one"), iter(range(9))

    def break_off(step: str, num_done: int, total: int) -> None:
        if step == "files" and num_done == total and next(num_rounds) == 2:  # after the commit
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        standby.restore("one", path, break_off)
    assert standby.backup == "one"
    second.files.add(TENANT, "own.md", b"of the standby")

    with pytest.raises(ConflictError, match="it is in use"):
        standby.restore("one", path)


@pytest.mark.parametrize("has_one", [True, False])
def test_a_write_after_a_commit_that_failed_is_noticed(
    has_one: bool, corpus: Corpus, second: Corpus, standby: Standby, backup: Callable[[str], Path]
) -> None:
    """Also if callers have written as much as the backup has."""
    if has_one:
        standby.restore("zero", backup("zero"))
    corpus.files.add(TENANT, "a.md", b"alpha")
    path = backup("one")

    with failing_commits(second), pytest.raises(BrokenOffError):
        standby.restore("one", path)
    assert standby.backup == ("zero" if has_one else None)
    second.files.add(TENANT, "own.md", b"of the standby")

    with pytest.raises(ConflictError, match="it is in use"):
        standby.restore("one", path)


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
