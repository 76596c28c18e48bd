"""The order of quotes where a question names an identifier: the exact one first, near ones last.

A sentence without an identifier has that of the heading above it, and of the headings of its passage.
"""

from collections.abc import Iterator, Mapping, Sequence

from models.generation.relevance import Unit
from models.languages.same_form import Match, exact_names, match_of
from models.types.chunks import Passage

EXACT_WEIGHT = 1.0  # as much as all words of the question
NEAR_PENALTY = 100.0  # more than any score


def exact_scores(
    question: str, units: Sequence[Unit], passages: Sequence[Passage], scores: Sequence[float]
) -> list[float]:
    """The scores, with those of exact units raised and those of near ones lowered, if there are exact ones."""
    names = exact_names(question)
    matches = list(_matches(names, units, passages)) if names else []
    if "exact" not in matches:
        return list(scores)
    raised = {"exact": EXACT_WEIGHT, "near": -NEAR_PENALTY, None: 0.0}
    return [score + raised[match] for match, score in zip(matches, scores, strict=True)]


def _matches(names: frozenset[str], units: Sequence[Unit], passages: Sequence[Passage]) -> Iterator[Match | None]:
    """Of each unit. A heading itself is only near, or nothing: it answers no question."""
    number, above, level = 0, None, 0
    for unit in units:
        if unit.number != number:
            number, level = unit.number, 0
            above = match_of(passages[number - 1].context, names)
        own = match_of(unit.text, names)
        if not unit.sentence.is_heading:
            yield own or above
            continue
        own_level = _level(unit.text)
        if own is not None or 0 < own_level <= level:
            above, level = own, own_level
        yield "near" if own == "near" else None


def _level(heading: str) -> int:
    """The number of signs before a heading of Markdown; 0 for any other."""
    return len(heading) - len(heading.lstrip("#"))


def in_reading_order(
    best: Sequence[Unit], passages: Sequence[Passage], scores: Mapping[tuple[int, int], float]
) -> list[Unit]:
    """The best unit, then the others of its file as they stand there, then those of the next file; near ones last.

    `best` are units of `passages`, best first; `scores` are those of exact_scores, by passage number and place.
    """
    files = [passages[unit.number - 1].file_id for unit in best]
    places = {file: place for place, file in reversed(list(enumerate(files)))}

    def place(unit: Unit) -> tuple[bool, int, int]:
        passage = passages[unit.number - 1]
        is_near = scores[unit.number, unit.place] < -NEAR_PENALTY / 2
        return is_near, places[passage.file_id], passage.start + unit.sentence.span[0]

    return [*best[:1], *sorted(best[1:], key=place)]
