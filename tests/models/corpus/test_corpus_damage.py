"""A database whose file is damaged: typed, reported, and never copied into a backup that older ones would go for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.corpus.backup.create import create_backup
from models.corpus.backup.repository import FolderRepository
from models.corpus.backup.retention import Retention
from models.corpus.backup.scheduled import back_up_if_due
from models.corpus.corpus import Corpus
from models.corpus.database import open_database
from models.errors.configuration import ConfigError
from models.errors.storage import STORAGE_ERRORS, DatabaseDamagedError
from tests.damage import damage


def open_corpus(folder: Path) -> Corpus:
    return Corpus.open(f"sqlite:///{folder}/corpus.db", folder / "files")


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    opened = open_corpus(tmp_path)
    yield opened
    opened.close()


def test_what_is_damaged_is_a_storage_error_that_names_the_cure_and_a_problem(corpus: Corpus, tmp_path: Path) -> None:
    file = corpus.files.add("default", "notes.txt", b"notes")
    corpus.database._engine.dispose()
    assert corpus.database.problems() == []

    damage(tmp_path / "corpus.db", "files")

    with pytest.raises(
        DatabaseDamagedError, match="the database is damaged; its operator must restore a backup"
    ) as error:
        corpus.files.get("default", file.file_id)
    with pytest.raises(DatabaseDamagedError):
        corpus.files.add("default", "more.txt", b"more")
    assert isinstance(error.value, STORAGE_ERRORS)  # so no worker ends for it
    assert corpus.database.problems() == ["database: it is damaged; restore it from a backup"]
    assert corpus.conversations.create("default", {}, []).metadata == {}  # what is whole goes on


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "corpus.db").write_bytes(b"no database at all. " * 500)

    with pytest.raises(DatabaseDamagedError):
        open_database(f"sqlite:///{tmp_path}/corpus.db")


def test_damage_that_no_query_of_a_backup_meets_makes_none_and_older_ones_stay(corpus: Corpus, tmp_path: Path) -> None:
    corpus.files.add("default", "notes.txt", b"notes")
    repository, retention = FolderRepository(tmp_path / "backups"), Retention(keep_last=1, keep_daily=0, keep_weekly=0)
    back_up_if_due(repository, corpus.database, tmp_path / "files", retention)
    kept = repository.backups()
    corpus.database._engine.dispose()

    damage(tmp_path / "corpus.db", "files_by_creation")

    with pytest.raises(ConfigError, match="is damaged, so no backup of it is made"):
        create_backup(corpus.database, tmp_path / "files", tmp_path / "one")
    with pytest.raises(ConfigError):
        back_up_if_due(repository, corpus.database, tmp_path / "files", retention)
    assert repository.backups() == kept
    assert [path.name for path in (tmp_path / "backups").iterdir() if path.is_dir()] == [kept[0].name]
