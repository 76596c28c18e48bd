"""A question set's documents as files: names that lead back to the documents, and never to another set's."""

from dataclasses import replace
from pathlib import Path

from serve.cli.driver.evaluated_service import Corpus
from serve.cli.driver.question_set import read_question_set
from tests.serve.cli.eval.evaluation_samples import DOCUMENTS, write_set


def test_every_file_name_leads_to_its_document_whatever_the_id(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))

    corpus = Corpus.of(questions, "static")

    assert list(corpus.filenames.values()) == list(DOCUMENTS)
    assert list(corpus.filenames)[-1] == f"birds-{questions.digest}/a%2Fb%20c%3F.txt"
    assert corpus.store_name == f"eval:birds:{questions.digest}"


def test_other_texts_under_the_same_ids_are_other_files_in_another_store(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))
    changed = replace(questions, documents=(replace(questions.documents[0], text="Changed."), *questions.documents[1:]))

    one, other = Corpus.of(questions, "static"), Corpus.of(changed, "static")

    assert one.store_name != other.store_name
    assert set(one.filenames) & set(other.filenames) == set()


def test_another_chunking_is_another_store_with_files_of_its_own(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))

    static, auto = Corpus.of(questions, "static"), Corpus.of(questions, "auto")

    assert static.store_name != auto.store_name
    assert set(static.filenames) & set(auto.filenames) == set()
    assert list(static.filenames.values()) == list(auto.filenames.values())
