"""Figures of an answer in passages: numbers, whatever surrounds them and separates their thousands."""

import json
from pathlib import Path

import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.eval.figures.measure import FigureQuestion, figures_in, read_figure_questions


@pytest.mark.parametrize(
    ("figure", "passage"),
    [
        ("$82,959 million", "Total net sales | $ | 82,959 | 81,434"),
        ("82,959", "82 959 millions d'euros"),
        ("82959", "82,959"),
        ("5%", "an increase of 5 %"),
        ("44.3%", "Gross margin 44.3"),
        ("2022,", "ended June 25, 2022"),
        ("1,234", "5 1,234 88"),
        ("12 and 15", "15 or 12"),
    ],
)
def test_a_figure_is_found_by_its_number(figure: str, passage: str) -> None:
    assert figures_in([figure], ["nothing here", passage]) == [figure]


@pytest.mark.parametrize(
    ("figure", "passage"), [("82,959", "82,958"), ("44.3", "443"), ("5", "15"), ("12 and 15", "12"), ("7", "")]
)
def test_another_number_is_not_it(figure: str, passage: str) -> None:
    assert figures_in([figure], [passage]) == []


def test_questions_without_figures_are_left_out(tmp_path: Path) -> None:
    rows = [{"text": "How much?", "figures": ["$5", "7 %"], "answer": "5"}, {"text": "Why?", "figures": []}]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    assert read_figure_questions(path) == [FigureQuestion("How much?", ("$5", "7 %"))]


@pytest.mark.parametrize(
    "row", ["{", "[]", '{"figures": ["5"]}', '{"text": "a", "figures": ["five"]}', '{"text": "a"}']
)
def test_a_broken_file_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(row)

    with pytest.raises(InvalidRequestError, match=r"questions\.jsonl"):
        read_figure_questions(path)
