"""The cases of `ragserve bench llm`, and what it counts."""

import gzip
import json
from pathlib import Path

import pytest

from serve.cli.bench.llm.cases import NUM_PASSAGES, cases
from serve.cli.bench.llm.run import Answer, summary

NUM_DOCUMENTS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = [f"d{number}" for number in range(NUM_DOCUMENTS)]
    documents = [{"_id": name, "title": "", "text": f"Text of {name}."} for name in names]
    queries = [{"_id": f"q{number}", "text": f"Question {number}?", "answers": [f"d{number}"]} for number in range(3)]
    for kind, rows in (("corpus", documents), ("queries", queries)):
        with gzip.open(tmp_path / f"{kind}.jsonl.gz", "wt") as lines:
            lines.writelines(f"{json.dumps(row)}\n" for row in rows)
    relevance = "".join(f"q{number}\td{number}\t1\n" for number in range(3))
    (tmp_path / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{relevance}")
    return tmp_path


def answer(text: str, *cited: str) -> Answer:
    return Answer(text, frozenset(cited), 100, 10, 1.0, 2.0)


def test_each_question_comes_with_its_passage_and_without(folder: Path) -> None:
    every = list(cases(folder, 3))

    assert [len(case.passages) for case in every] == [NUM_PASSAGES] * 6
    for case in every:
        names = {passage.file_id for passage in case.passages}
        assert case.relevant <= names
        assert case.relevant or f"d{case.question.split()[1][:-1]}" not in names
    assert list(cases(folder, 3)) == every


def test_it_counts_citations_gold_answers_and_refusals(folder: Path) -> None:
    first, without, *_ = every = list(cases(folder, 1))
    [relevant] = first.relevant
    answers = [answer(f"It is {relevant}.", relevant), answer("The passages do not contain the answer.")]

    lines = "\n".join(summary("set", every, answers))

    assert (len(every), without.relevant) == (2, frozenset())
    for label in ("with: cites a passage", "of these, cites the one that answers", "with: has the gold answer"):
        assert f"{label:40}    1 of 1" in lines
    assert f"{'with: refuses':40}    0 of 1" in lines
    assert f"{'without: refuses':40}    1 of 1" in lines
    assert f"{'tokens/s after it':40}    10.0" in lines


@pytest.mark.parametrize(
    ("text", "cited", "is_refusal"),
    [("I cannot say.", (), True), ("No [1].", ("d1",), False), ("Paris.", (), False), ("not " * 60, (), False)],
)
def test_a_refusal_is_short_and_cites_nothing(text: str, cited: tuple[str, ...], is_refusal: bool) -> None:
    assert answer(text, *cited).is_refusal is is_refusal
