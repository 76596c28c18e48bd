"""Figure recall: the share of an answer's numbers that stand in the first passages of a search."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.errors.requests import InvalidRequestError
from serve.cli.driver.question_set import json_lines

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
# Thousands in groups, as French writes them. In a table these may be several numbers, so they count as both.
GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:[\u00a0\u202f ]\d{3})+(?![\d])")


@dataclass(frozen=True)
class FigureQuestion:
    """A question, and the figures of its answer as they are written there, such as "$82,959 million"."""

    text: str
    figures: tuple[str, ...]


def read_figure_questions(path: Path) -> list[FigureQuestion]:
    """The questions with figures, from JSON lines with `text` and `figures`. Raises InvalidRequestError."""
    questions = []
    for where, line in json_lines(path):
        text, figures = line.get("text"), line.get("figures", [])
        if not isinstance(text, str) or not isinstance(figures, list) or not all(map(_has_number, figures)):
            raise InvalidRequestError(f"{where}: expected `text`, and `figures` that are texts with a number")
        if figures:
            questions.append(FigureQuestion(text, tuple(figures)))
    if not questions:
        raise InvalidRequestError(f"{path}: no question has figures")
    return questions


def figures_in(figures: Iterable[str], passages: Iterable[str]) -> list[str]:
    """Those of the figures whose numbers stand in the passages, whatever separates their thousands."""
    present = {number for passage in passages for number in _numbers(passage)}
    return [
        figure for figure in figures if present.issuperset(match.replace(",", "") for match in NUMBER.findall(figure))
    ]


def _has_number(figure: object) -> bool:
    return isinstance(figure, str) and NUMBER.search(figure) is not None


def _numbers(text: str) -> list[str]:
    """The numbers of a text without separators of thousands."""
    numbers = [match.replace(",", "") for match in NUMBER.findall(text)]
    return numbers + ["".join(match.split()) for match in GROUPED.findall(text)]
