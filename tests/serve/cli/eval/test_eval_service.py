"""A question set's documents as files: file names map back to documents, and differ between sets."""

from dataclasses import replace
from pathlib import Path

from serve.cli.driver.evaluated_service import Corpus
from serve.cli.driver.question_set import read_question_set
from tests.serve.cli.eval.evaluation_samples import DOCUMENTS, write_set


def test_every_file_name_maps_to_its_document(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))

    corpus = Corpus.of(questions, "static")

    assert list(corpus.filenames.values()) == list(DOCUMENTS)
    assert list(corpus.filenames)[-1] == f"birds-{questions.digest}/a%2Fb%20c%3F.txt"
    assert corpus.store_name == f"eval:birds:{questions.digest}"


def test_changed_texts_with_the_same_ids_use_other_files_and_another_store(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))
    changed = replace(questions, documents=(replace(questions.documents[0], text="Changed."), *questions.documents[1:]))

    original, edited = Corpus.of(questions, "static"), Corpus.of(changed, "static")

    assert original.store_name != edited.store_name
    assert set(original.filenames) & set(edited.filenames) == set()


def test_another_chunking_uses_other_files_and_another_store(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))

    static, auto = Corpus.of(questions, "static"), Corpus.of(questions, "auto")

    assert static.store_name != auto.store_name
    assert set(static.filenames) & set(auto.filenames) == set()
    assert list(static.filenames.values()) == list(auto.filenames.values())
