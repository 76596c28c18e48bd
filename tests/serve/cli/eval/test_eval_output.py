"""The outputs of a run: tables, a chart, and files for trec_eval."""

import io
from pathlib import Path

import ir_measures
import pytest
from rich.console import Console

from models.errors.requests import InvalidRequestError
from serve.cli.driver.question_set import read_question_set
from serve.cli.eval.compare import compare
from serve.cli.eval.measures import measure
from serve.cli.eval.plot import draw
from serve.cli.eval.report import print_differences, print_set
from serve.cli.eval.trec import check_ids, write_qrels, write_run
from tests.serve.cli.eval.evaluation_samples import run_of, set_run, write_set

QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"c": 1}}
RANKINGS = {"q1": ("x", "b", "a"), "q2": ("d", "c")}


def text_console() -> Console:
    return Console(file=io.StringIO(), width=132)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_trec_files_give_the_same_metrics(tmp_path: Path) -> None:
    write_run(tmp_path / "out" / "birds.run", RANKINGS, "dense")
    write_qrels(tmp_path / "out" / "birds.qrels", QRELS)

    assert (tmp_path / "out" / "birds.run").read_text().splitlines()[:2] == [
        "q1 Q0 x 1 3 dense",
        "q1 Q0 b 2 2 dense",
    ]
    qrels = ir_measures.read_trec_qrels(str(tmp_path / "out" / "birds.qrels"))
    run = ir_measures.read_trec_run(str(tmp_path / "out" / "birds.run"))
    ndcg = ir_measures.nDCG @ 10
    values = {metric.query_id: metric.value for metric in ir_measures.iter_calc([ndcg], list(qrels), list(run))}
    assert list(values.values()) == measure(RANKINGS, QRELS, ks=(5,))["nDCG@10"]


def test_an_id_with_white_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"birds: the id 'a/b c\?' has white space"):
        check_ids(read_question_set(write_set(tmp_path / "birds")))


def test_the_table_shows_every_metric_and_the_excluded_data() -> None:
    measured = set_run({"bm25": {"nDCG@10": [0.5, 0.5]}, "dense": {"nDCG@10": [0.75, 0.75]}})
    dense = measured.modes["dense"].model_copy(update={"num_degraded": 1})
    measured = measured.model_copy(
        update={"left_out": {"unjudged_queries": 3, "blank_documents": 0}, "modes": measured.modes | {"dense": dense}}
    )
    console = text_console()

    print_set(console, measured)

    text = printed(console)
    assert "birds: 2 questions, 4 documents" in text
    assert "0.500 ±0.000" in text
    assert "0.750 ±0.000" in text
    assert "3 questions have no relevant document" in text
    assert "no text" not in text
    assert "dense: 1 searches skipped a stage" in text


def test_a_fall_is_marked_and_a_significant_change_has_a_star() -> None:
    old = run_of(set_run({"dense": {"nDCG@10": [0.5, 0.5], "MRR@10": [0.5, 0.5], "recall@5": [1, 1]}}))
    new = run_of(set_run({"dense": {"nDCG@10": [0.4, 0.4], "MRR@10": [0.5, 0.7], "recall@5": [1, 1]}}))
    console = text_console()

    print_differences(console, "against", compare(old, new).differences, tolerance=0.005)

    fallen, risen = (line for line in printed(console).splitlines() if "dense" in line)
    assert "-0.1000*" in fallen
    assert "fell" in fallen
    assert "+0.1000 " in risen
    assert "fell" not in risen
    assert "1 metrics are the same for every question" in printed(console)


@pytest.mark.parametrize(("suffix", "opening"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_chart_shows_every_set(tmp_path: Path, suffix: str, opening: bytes) -> None:
    modes = {mode: {"nDCG@10": [0.2, 0.8, 0.5], "MRR@10": [0.0, 1.0, 1.0]} for mode in ("bm25", "dense", "hybrid")}
    path = tmp_path / "plots" / f"run{suffix}"

    draw([set_run(modes, "birds"), set_run(modes, "fish")], path)

    content = path.read_bytes()
    assert content.startswith(opening)
    assert len(content) > 10_000
