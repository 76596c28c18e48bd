"""Where the text of a plain file stands: at the file's own lines."""

import re
from array import array
from itertools import accumulate

from models.location import Anchor, Location, Unit

# Cleaning makes line breaks of these too, but no editor counts them as lines. RFCs have a form feed a page.
UNCOUNTED_BREAK = re.compile("[\x0b\x0c\x85\u2028\u2029]")
LINE_BREAK = re.compile("\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]")
MAX_ANCHORS = 100_000  # a file that needs more was made to need them; its lines are not told


def line_anchors(source: str, cleaned: str, unit: Unit = "line") -> tuple[Anchor, ...]:
    """The anchors of a cleaned text, without the line breaks at its beginning, by the lines of its source."""
    num_leading = _num_leading(cleaned)
    if not UNCOUNTED_BREAK.search(source):
        return (_anchor(0, unit, num_leading + 1),)
    numbers = _line_numbers(source)
    num_lines = cleaned.count("\n") + 1
    if len(numbers) != num_lines or num_lines - (numbers[-1] - numbers[0]) > MAX_ANCHORS:
        return ()
    starts = accumulate((len(line) + 1 for line in cleaned[num_leading:].split("\n")), initial=0)
    shown = numbers[num_leading:]
    return tuple(
        _anchor(start, unit, number)
        for start, number, before in zip(starts, shown, [-1, *shown], strict=False)
        if number != before + 1
    )


def _anchor(start: int, unit: Unit, number: int) -> Anchor:
    return Anchor(start, Location(unit, number, number), counts_lines=True)


def _num_leading(cleaned: str) -> int:
    return len(cleaned) - len(cleaned.lstrip("\n"))


def _line_numbers(source: str) -> "array[int]":
    """The number, from 1, of each line that cleaning makes. Lines that no line end separates have the same number."""
    numbers = array("I", [1])
    for match in LINE_BREAK.finditer(source):
        is_counted = match.group() in ("\n", "\r\n", "\r")
        numbers.append(numbers[-1] + is_counted)
    return numbers
