"""Runs compared with saved runs, modes compared with the modes they combine."""

from pathlib import Path

import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.eval.compare import against_parents, compare
from serve.cli.eval.run import Run
from tests.serve.cli.eval.evaluation_samples import run_of, set_run


def test_a_difference_is_paired_by_question() -> None:
    old = run_of(set_run({"dense": {"nDCG@10": [0.1, 0.5, 0.9, 0.3]}}))
    new = run_of(set_run({"dense": {"nDCG@10": [0.2, 0.6, 1.0, 0.4]}}))

    (difference,) = compare(old, new).differences

    assert (difference.old, difference.new) == (pytest.approx(0.45), pytest.approx(0.55))
    # Every question gained the same amount, so the interval has no width.
    change = difference.change
    assert (change.low, change.mean, change.high) == pytest.approx((0.1, 0.1, 0.1))
    assert difference.is_significant
    assert not difference.fell_by_more_than(0)


def test_a_fall_is_measured_against_the_tolerance() -> None:
    old = run_of(set_run({"dense": {"nDCG@10": [0.50, 0.50], "MRR@10": [0.5, 0.5]}}))
    new = run_of(set_run({"dense": {"nDCG@10": [0.48, 0.50], "MRR@10": [0.5, 0.5]}}))

    differences = compare(old, new).differences

    assert [difference.fell_by_more_than(0.005) for difference in differences] == [True, False]
    assert [difference.fell_by_more_than(0.015) for difference in differences] == [False, False]
    assert not differences[0].is_significant  # a quarter of the resamples leave out the question that fell


def test_only_the_questions_in_both_runs_are_compared() -> None:
    old = run_of(set_run({"dense": {"nDCG@10": [0.1, 0.2, 0.3]}}))
    sample = set_run({"dense": {"nDCG@10": [0.3, 0.5]}}).model_copy(update={"query_ids": ["q2", "q7"]})

    comparison = compare(old, run_of(sample))

    (difference,) = comparison.differences
    assert (difference.num_queries, difference.old, difference.new) == (1, 0.3, 0.3)
    assert "birds: compared on 1 questions; the saved run has 3, this run 2" in comparison.notes


def test_sets_and_modes_of_only_one_run_are_listed() -> None:
    old = run_of(
        set_run({"bm25": {"nDCG@10": [1]}, "dense": {"nDCG@10": [1]}}), set_run({"dense": {"nDCG@10": [1]}}, "fish")
    )
    new = run_of(set_run({"dense": {"nDCG@10": [1]}, "rrf": {"nDCG@10": [1]}}), model="granite")

    comparison = compare(old, new)

    assert [difference.mode for difference in comparison.differences] == ["dense"]
    assert comparison.notes == [
        "question set fish: only in the saved run",
        "model of embed: minilm in the saved run, granite in this run",
        "mode of birds bm25: only in the saved run",
        "mode of birds rrf: not in the saved run",
    ]


def test_runs_over_other_documents_are_refused() -> None:
    old, new = (run_of(set_run({"dense": {"nDCG@10": [1]}}, digest=digest)) for digest in ("d1", "d2"))

    with pytest.raises(InvalidRequestError, match="birds: the saved run used other documents"):
        compare(old, new)


def test_runs_with_nothing_in_common_are_refused() -> None:
    old, new = run_of(set_run({"bm25": {"nDCG@10": [1]}})), run_of(set_run({"dense": {"nDCG@10": [1]}}))

    with pytest.raises(InvalidRequestError, match="no question set with a mode"):
        compare(old, new)


def test_each_mode_is_compared_with_the_modes_it_combines() -> None:
    measured = set_run(
        {
            "bm25": {"nDCG@10": [0.4]},
            "dense": {"nDCG@10": [0.6]},
            "rrf": {"nDCG@10": [0.1]},
            "hybrid": {"nDCG@10": [0.5]},
            "reranked": {"nDCG@10": [0.7]},
        }
    )

    differences = against_parents(measured)

    changes = {(each.mode, each.against): round(each.change.mean, 6) for each in differences}
    assert changes == {("hybrid", "bm25"): 0.1, ("hybrid", "dense"): -0.1, ("reranked", "hybrid"): 0.2}


def test_a_saved_run_is_read_back_the_same(tmp_path: Path) -> None:
    run = run_of(set_run({"dense": {"nDCG@10": [0.123456, 1.0]}}))

    run.save(tmp_path / "new folder" / "run.json")

    assert Run.load(tmp_path / "new folder" / "run.json") == run


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "not a saved run: the file: Invalid JSON"),
        ("{}", "not a saved run: created_at: Field required"),
        (
            run_of(set_run({"dense": {"nDCG@10": [1, 2]}})).model_dump_json().replace('["q0","q1"]', '["q0"]'),
            "2 values",
        ),
    ],
)
def test_a_file_that_is_not_a_run_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)

    with pytest.raises(InvalidRequestError, match=complaint):
        Run.load(path)


def test_a_missing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        Run.load(tmp_path / "missing.json")
