"""Runs against saved runs, modes against what they are made of."""

from pathlib import Path

import pytest

from models.errors import InvalidRequestError
from serve.cli.eval.compare import against_parents, compare
from serve.cli.eval.run import Run
from tests.serve.cli.eval.evaluation_samples import run_of, set_run


def test_a_difference_is_paired_by_question() -> None:
    old = run_of(set_run({"dense": {"nDCG@10": [0.1, 0.5, 0.9, 0.3]}}))
    new = run_of(set_run({"dense": {"nDCG@10": [0.2, 0.6, 1.0, 0.4]}}))

    (found,) = compare(old, new).differences

    assert (found.old, found.new) == (pytest.approx(0.45), pytest.approx(0.55))
    # Every question gained the same, so however different they are there is no doubt.
    assert (found.change.low, found.change.mean, found.change.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.is_sure
    assert not found.fell_by_more_than(0)


def test_a_fall_is_measured_against_the_tolerance() -> None:
    old = run_of(set_run({"dense": {"nDCG@10": [0.50, 0.50], "MRR@10": [0.5, 0.5]}}))
    new = run_of(set_run({"dense": {"nDCG@10": [0.48, 0.50], "MRR@10": [0.5, 0.5]}}))

    differences = compare(old, new).differences

    assert [one.fell_by_more_than(0.005) for one in differences] == [True, False]
    assert [one.fell_by_more_than(0.015) for one in differences] == [False, False]
    assert not differences[0].is_sure  # half of the resamples have none of the fallen question


def test_only_the_questions_in_both_runs_are_compared() -> None:
    old = run_of(set_run({"dense": {"nDCG@10": [0.1, 0.2, 0.3]}}))
    sample = set_run({"dense": {"nDCG@10": [0.3, 0.5]}}).model_copy(update={"query_ids": ["q2", "q7"]})

    found = compare(old, run_of(sample))

    (difference,) = found.differences
    assert (difference.num_queries, difference.old, difference.new) == (1, 0.3, 0.3)
    assert any("1 questions are in both runs, of 3 and 2" in note for note in found.notes)


def test_what_is_not_compared_is_said() -> None:
    old = run_of(
        set_run({"bm25": {"nDCG@10": [1]}, "dense": {"nDCG@10": [1]}}), set_run({"dense": {"nDCG@10": [1]}}, "fish")
    )
    new = run_of(set_run({"dense": {"nDCG@10": [1]}, "rrf": {"nDCG@10": [1]}}), model="granite")

    found = compare(old, new)

    assert [one.mode for one in found.differences] == ["dense"]
    assert found.notes == [
        "question set fish: only in the saved run",
        "model of embed: minilm in the saved run, granite here",
        "mode of birds bm25: only in the saved run",
        "mode of birds rrf: not in the saved run",
    ]


def test_runs_of_other_documents_are_refused() -> None:
    old, new = (run_of(set_run({"dense": {"nDCG@10": [1]}}, digest=digest)) for digest in ("d1", "d2"))

    with pytest.raises(InvalidRequestError, match="birds: the saved run is of other documents"):
        compare(old, new)


def test_runs_with_nothing_in_common_are_refused() -> None:
    old, new = run_of(set_run({"bm25": {"nDCG@10": [1]}})), run_of(set_run({"dense": {"nDCG@10": [1]}}))

    with pytest.raises(InvalidRequestError, match="no question set with a mode"):
        compare(old, new)


def test_each_mode_is_held_against_what_it_is_made_of() -> None:
    measured = set_run(
        {
            "bm25": {"nDCG@10": [0.4]},
            "dense": {"nDCG@10": [0.6]},
            "rrf": {"nDCG@10": [0.1]},
            "hybrid": {"nDCG@10": [0.5]},
            "reranked": {"nDCG@10": [0.7]},
        }
    )

    found = against_parents(measured)

    changes = {(one.mode, one.against): round(one.change.mean, 6) for one in found}
    assert changes == {("hybrid", "bm25"): 0.1, ("hybrid", "dense"): -0.1, ("reranked", "hybrid"): 0.2}


def test_a_saved_run_is_read_back_the_same(tmp_path: Path) -> None:
    run = run_of(set_run({"dense": {"nDCG@10": [0.123456, 1.0]}}))

    run.save(tmp_path / "new folder" / "run.json")

    assert Run.load(tmp_path / "new folder" / "run.json") == run


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "no saved run: the file: Invalid JSON"),
        ("{}", "no saved run: created_at: Field required"),
        (
            run_of(set_run({"dense": {"nDCG@10": [1, 2]}})).model_dump_json().replace('["q0","q1"]', '["q0"]'),
            "2 values",
        ),
    ],
)
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)

    with pytest.raises(InvalidRequestError, match=complaint):
        Run.load(path)


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        Run.load(tmp_path / "missing.json")
