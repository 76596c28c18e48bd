"""Feedback and reference scores in the database: of one tenant, durable, and added to an earlier release's database."""

from contextlib import closing
from pathlib import Path

import pytest
from corpus_samples import TENANT, UNDO_VERSION_11, Clock, ingest
from sqlalchemy import create_engine, text

from models.corpus.backup.create import create_backup
from models.corpus.backup.restore import restore_backup
from models.corpus.corpus import Corpus
from models.corpus.feedback import Feedback, Judgement
from models.corpus.records import PageRequest
from models.errors.requests import ConflictError, NotFoundError


def test_feedback_is_read_by_another_process_as_it_was_given(
    corpus: Corpus, database_url: str, state_folder: Path, clock: Clock
) -> None:
    file_id = ingest(corpus, "a.md", "alpha")
    judgement = Judgement("bad", "comment \0 \ud800", "query?", "answer", (file_id,))
    corpus.feedback.put(TENANT, "req_1", judgement)

    with closing(Corpus.open(database_url, state_folder / "blobs")) as reopened:
        assert reopened.feedback.get(TENANT, "req_1") == Feedback("req_1", int(clock.now), judgement)


def test_feedback_is_of_one_tenant(corpus: Corpus) -> None:
    corpus.feedback.put("a", "req_1", Judgement("good"))
    corpus.feedback.put("b", "req_1", Judgement("bad"))

    assert [each.judgement.rating for each in corpus.feedback.page("a", PageRequest()).items] == ["good"]
    corpus.feedback.delete("b", "req_1")
    assert corpus.feedback.get("a", "req_1").judgement.rating == "good"
    with pytest.raises(NotFoundError):
        corpus.feedback.get("b", "req_1")


def test_a_restore_does_not_replace_feedback_unasked(corpus: Corpus, state_folder: Path) -> None:
    create_backup(corpus.database, state_folder / "blobs", state_folder / "backup")
    corpus.feedback.put(TENANT, "req_1", Judgement("good"))

    with pytest.raises(ConflictError, match="1 pieces of feedback would be lost"):
        restore_backup(corpus.database, state_folder / "blobs", state_folder / "backup")


def test_feedback_names_only_files_of_its_tenant(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")

    with pytest.raises(NotFoundError, match=file_id):
        corpus.feedback.put("stranger", "req_1", Judgement("good", file_ids=(file_id,)))

    assert corpus.feedback.page("stranger", PageRequest()).items == ()


def test_the_first_reference_of_a_name_stays_and_a_new_name_replaces_it(corpus: Corpus) -> None:
    references = corpus.score_references

    assert references.add("first", {"evidence": [0.5, 0.25]}) == {"evidence": (0.5, 0.25)}
    assert references.add("first", {"evidence": [0.1]}) == {"evidence": (0.5, 0.25)}
    assert references.add("second", {"evidence": [0.75]}) == {"evidence": (0.75,)}
    assert (references.get("first"), references.get("second")) == ({}, {"evidence": (0.75,)})


def test_a_database_of_the_earlier_release_gets_the_tables(database_url: str, state_folder: Path) -> None:
    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        ingest(corpus, "a.md", "alpha")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in UNDO_VERSION_11:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 10"))
    engine.dispose()

    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        corpus.feedback.put(TENANT, "req_1", Judgement("good"))
        corpus.score_references.add("first", {"evidence": [0.5]})
        assert corpus.feedback.get(TENANT, "req_1").judgement.rating == "good"
