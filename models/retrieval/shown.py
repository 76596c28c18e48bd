"""Passages that show more than was found: each text once."""

from collections.abc import Sequence

from models.types.chunks import Passage


def distinct_shown(passages: Sequence[Passage]) -> list[Passage]:
    """The passages in order, without those whose text a better passage of the same file shows already.

    Passages that show only themselves all stay.
    """
    distinct: list[Passage] = []
    for passage in passages:
        if passage.shown is None or not any(_shows(better, passage) for better in distinct):
            distinct.append(passage)
    return distinct


def _shows(better: Passage, passage: Passage) -> bool:
    if better.shown is None or better.file_id != passage.file_id:
        return False
    return better.shown[0] <= passage.start and passage.end <= better.shown[1]
