"""Reading BEIR's layout: every line is used, counted as excluded, or refused with its file and line."""

import gzip
from pathlib import Path

import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.driver.question_set import LeftOut, read_question_set
from tests.serve.cli.eval.evaluation_samples import DOCUMENTS, QRELS, QUERIES, write_lines, write_set


def test_a_set_is_read_completely(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))

    assert questions.name == "birds"
    assert [document.document_id for document in questions.documents] == list(DOCUMENTS)
    assert questions.documents[0].content == "Kestrel\nA kestrel hovers over open fields and hunts voles."
    assert questions.documents[2].content == DOCUMENTS["swift"][1]  # no title, so no empty line
    assert questions.queries == QUERIES
    assert questions.qrels == {"q1": {"kestrel": 2, "swift": 1}, "q2": {"heron": 1}, "q3": {"swift": 1}}
    assert questions.left_out == LeftOut()


def test_gzipped_files_and_qrels_without_folder_or_header_give_the_same_set(tmp_path: Path) -> None:
    plain = read_question_set(write_set(tmp_path / "birds"))
    folder = write_set(tmp_path / "packed" / "birds")
    for name in ("corpus", "queries"):
        content = (folder / f"{name}.jsonl").read_bytes()
        (folder / f"{name}.jsonl").unlink()
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(content))
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels").rmdir()
    (folder / "qrels.tsv").write_text("".join(f"{q}\t{d}\t{score}\n" for q, d, score in QRELS))

    packed = read_question_set(folder)

    assert packed == plain
    assert packed.digest == plain.digest


def test_excluded_queries_and_documents_are_counted(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "birds")
    with (folder / "qrels" / "test.tsv").open("a") as qrels:
        qrels.write("q1\tdodo\t1\nq9\tswift\t1\nq8\theron\t1\n")
    with (folder / "queries.jsonl").open("a") as queries:
        queries.write('{"_id": "q4", "text": "Not judged?"}\n{"_id": "q5", "text": "All irrelevant?"}\n')
    with (folder / "qrels" / "test.tsv").open("a") as qrels:
        qrels.write("q5\theron\t0\n")
    with (folder / "corpus.jsonl").open("a") as corpus:
        corpus.write('{"_id": "blank", "title": "", "text": "  "}\n')

    questions = read_question_set(folder)

    assert questions.left_out == LeftOut(unjudged_queries=2, unknown_queries=2, unknown_documents=1, blank_documents=1)
    assert list(questions.queries) == ["q1", "q2", "q3"]
    assert questions.qrels["q1"] == {"kestrel": 2, "swift": 1, "dodo": 1}
    assert len(questions.documents) == 4


def test_the_digest_depends_on_the_documents_only(tmp_path: Path) -> None:
    original, requeried, renamed = (
        write_set(tmp_path / name / "birds") for name in ("original", "requeried", "renamed")
    )
    write_lines(requeried / "queries.jsonl", [{"_id": "q1", "text": "Another question?"}])
    renamed_corpus = (renamed / "corpus.jsonl").read_text().replace('"heron"', '"egret"')
    (renamed / "corpus.jsonl").write_text(renamed_corpus)

    digests = [read_question_set(folder).digest for folder in (original, requeried, renamed)]

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    questions = read_question_set(write_set(tmp_path / "birds"))

    samples = [questions.sample(2, seed) for seed in (0, 0, 1, 2, 3)]

    assert samples[0] == samples[1]
    assert {len(sample.queries) for sample in samples} == {2}
    assert len({tuple(sample.queries) for sample in samples}) > 1
    assert all(sample.qrels.keys() == sample.queries.keys() for sample in samples)
    assert questions.sample(3, 0) is questions


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "b"}\n{not json\n', r"corpus\.jsonl:2: not JSON"),
        ("corpus.jsonl", '["a"]\n', r"corpus\.jsonl:1: expected an object"),
        ("corpus.jsonl", '{"_id": 7, "text": "b"}\n', r"corpus\.jsonl:1: `_id` is missing or not a string"),
        ("corpus.jsonl", '{"_id": "a"}\n', r"corpus\.jsonl:1: `text` is missing"),
        ("corpus.jsonl", '{"_id": "a", "title": 3, "text": "b"}\n', r"corpus\.jsonl:1: `title` is not a string"),
        ("corpus.jsonl", '{"_id": "a", "text": "b"}\n\n{"_id": "a", "text": "c"}\n', r"corpus\.jsonl:3: .*'a'"),
        ("queries.jsonl", '{"_id": "q1", "text": " "}\n', r"queries\.jsonl:1: .* is empty"),
        ("queries.jsonl", '{"_id": "q9", "text": "Judged?"}\n', "no query has a relevant document"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1 kestrel 1\n", r"test\.tsv:2: expected query-id"),
        ("qrels/test.tsv", "q1\tkestrel\t1\nq1\tkestrel\thigh\n", r"test\.tsv:2: expected query-id"),
        ("qrels/test.tsv", "q1\tkestrel\t1\nq1\tkestrel\t2\n", r"test\.tsv:2: .* another relevance"),
    ],
)
def test_invalid_input_is_refused_with_file_and_line(tmp_path: Path, file: str, content: str, complaint: str) -> None:
    folder = write_set(tmp_path / "birds")
    (folder / file).write_text(content)

    with pytest.raises(InvalidRequestError, match=complaint):
        read_question_set(folder)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "birds")
    packed = gzip.compress((folder / "corpus.jsonl").read_bytes())
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(packed[:-12])

    with pytest.raises(InvalidRequestError, match=r"corpus\.jsonl\.gz: cannot be read"):
        read_question_set(folder)


def test_a_missing_split_is_refused_with_the_existing_ones(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "birds")

    with pytest.raises(InvalidRequestError, match=r"dev\.tsv; .*qrels has test\.tsv"):
        read_question_set(folder, split="dev")


@pytest.mark.parametrize(
    ("name", "num_documents", "num_queries", "num_pairs"),
    [("cran", 1398, 225, 1611), ("cisi", 1460, 50, 2492), ("nq_qed", 1343, 1355, 1355)],
)
def test_the_public_sets_have_the_counts_of_their_readme(
    shared_data: Path, name: str, num_documents: int, num_queries: int, num_pairs: int
) -> None:
    questions = read_question_set(shared_data / name)

    assert (len(questions.documents), len(questions.queries)) == (num_documents, num_queries)
    assert sum(map(len, questions.qrels.values())) == num_pairs
    assert questions.left_out == LeftOut()
