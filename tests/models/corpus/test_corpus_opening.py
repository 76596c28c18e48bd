import stat
from pathlib import Path

import pytest
from corpus_samples import TENANT, ingest, stored_texts
from sqlalchemy import text, update

from models.corpus.corpus import Corpus
from models.corpus.database import open_database
from models.corpus.database_config import DatabaseConfig
from models.corpus.schema import SCHEMA_VERSION, schema_version
from models.errors.configuration import ConfigError
from models.errors.storage import DatabaseUnavailableError


def test_a_reopened_corpus_has_what_it_had(corpus: Corpus, database_url: str, state_folder: Path) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    corpus.close()

    reopened = Corpus.open(database_url, state_folder / "blobs")

    assert stored_texts(reopened) == ["Title\nalpha"]
    assert reopened.files.content(TENANT, file_id) == b"alpha"
    reopened.close()


def test_a_commit_survives_a_loss_of_power(tmp_path: Path) -> None:
    corpus = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", tmp_path)
    with corpus.database.reading() as connection:
        journal_mode = connection.scalar(text("PRAGMA journal_mode"))
        synchronous = connection.scalar(text("PRAGMA synchronous"))
        foreign_keys = connection.scalar(text("PRAGMA foreign_keys"))
    corpus.close()

    assert (journal_mode, synchronous, foreign_keys) == ("wal", 2, 1)


def test_a_newer_schema_is_refused(corpus: Corpus, database_url: str, tmp_path: Path) -> None:
    with corpus.database.writing() as connection:
        connection.execute(update(schema_version).values(version=SCHEMA_VERSION + 1))

    with pytest.raises(ConfigError, match=f"schema version {SCHEMA_VERSION + 1}"):
        Corpus.open(database_url, tmp_path / "blobs")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("corpus.db", "not a URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://host/corpus", "use sqlite or postgresql"),
        ("postgresql+nosuchdriver://host/corpus", "not installed"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Corpus.open(url, tmp_path)


def test_a_writer_that_waits_too_long_for_sqlite_is_told_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/corpus.db"
    first, second = open_database(url), open_database(url, DatabaseConfig(busy_s=0.01))

    with first.writing(), pytest.raises(DatabaseUnavailableError), second.writing():
        pass

    with second.writing():
        pass
    first.close()
    second.close()


def test_what_is_stored_is_its_owners_alone(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    old.touch(0o644)
    old.chmod(0o644)
    for database in (old, tmp_path / "new" / "corpus.db"):
        corpus = Corpus.open(f"sqlite:///{database}", tmp_path / f"{database.stem}-files")
        corpus.files.add("default", "a.md", b"alpha", "assistants")

        files = list(database.parent.glob(f"{database.name}*"))
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}, files
        assert stat.S_IMODE((tmp_path / f"{database.stem}-files").stat().st_mode) == 0o700
        corpus.close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
