"""Where a text stands in its file: its page, slide, sheet and row, or line. Plain data and its stored form.

A document has anchors, in order: from this character on, the text stands there. Each chunk has its part of them, as a
short text in JSON. It is decoded only for the passages of a response.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

Unit = Literal["page", "slide", "row", "line"]

MAX_SHEET_CHARS = 100  # Excel allows 31
MAX_MEMBER_CHARS = 300


@dataclass(frozen=True)
class Location:
    """Units `first` to `last` of a file, counted from 1. `sheet` names the sheet of a row, empty in a CSV file.

    `member` is the path of the file that has these units, if it is inside an archive or a mail.
    """

    unit: Unit
    first: int
    last: int
    sheet: str = ""
    member: str = ""

    def __str__(self) -> str:
        """For people: "page 3", "pages 3-4", "sheet Budget, row 7", "docs/a.md, line 3"."""
        span = f"{self.unit} {self.first}" if self.first == self.last else f"{self.unit}s {self.first}-{self.last}"
        sheet = f"sheet {self.sheet}" if self.sheet else ""
        return ", ".join(filter(None, (self.member, sheet, span)))

    def inside(self, path: str) -> "Location":
        """The same place, of a file that is inside another under this path."""
        return replace(self, member=f"{path}/{self.member}" if self.member else path)

    def further(self, num_units: int) -> "Location":
        return replace(self, first=self.first + num_units, last=self.last + num_units)

    def joined(self, other: "Location") -> "Location":
        """From the first of both to the last of both, if they count the same units; else this one."""
        if (self.unit, self.sheet, self.member) != (other.unit, other.sheet, other.member):
            return self
        return replace(self, first=min(self.first, other.first), last=max(self.last, other.last))

    def to_json(self) -> dict[str, int | str]:
        """The API's form, as in {"page": 3, "last_page": 4, "label": "pages 3-4"}."""
        place: dict[str, int | str] = {self.unit: self.first, f"last_{self.unit}": self.last}
        names = {"member": self.member, "sheet": self.sheet}
        return {key: name for key, name in names.items() if name} | place | {"label": str(self)}


@dataclass(frozen=True)
class Anchor:
    """A file's text from character `start` on, up to the next anchor, stands at `location`. None: unknown.

    `counts_lines`: `location` is that of the first line of this text, and each further line is one unit further.
    """

    start: int
    location: Location | None
    counts_lines: bool = False


def encode_anchors(anchors: Sequence[Anchor]) -> str:
    """The stored form; empty without anchors."""
    return json.dumps([_to_row(anchor) for anchor in anchors], separators=(",", ":")) if anchors else ""


def locate(source_map: str, text: str, text_start: int, start: int, end: int) -> Location | None:
    """Where characters `start` to `end` of a file's text stand, by its encoded anchors. White space stands nowhere.

    `text` has these characters, and begins at `text_start`; an anchor must stand there. Characters of several pages or
    lines stand at all of them, and those of several sheets at the rows of the first.
    """
    location: Location | None = None
    for place in _locations(_decode(source_map), text, text_start, start, end):
        location = place if location is None else location.joined(place)
    return location


def _locations(anchors: Iterator[Anchor], text: str, text_start: int, start: int, end: int) -> Iterator[Location]:
    for anchor, following in pairwise([*anchors, Anchor(text_start + len(text), None)]):
        first, last = max(start, anchor.start), min(end, following.start)
        piece = text[first - text_start : last - text_start] if last > first else ""
        if anchor.location is None or not piece.strip():
            continue
        if not anchor.counts_lines:
            yield anchor.location
            continue
        first += len(piece) - len(piece.lstrip()) - text_start
        location = anchor.location.further(text.count("\n", max(anchor.start - text_start, 0), first))
        yield location.joined(location.further(piece.strip().count("\n")))


def _to_row(anchor: Anchor) -> list[int | str]:
    """The fields, without those at the end that have their defaults."""
    location = anchor.location
    if location is None:
        return [anchor.start]
    row: list[int | str] = [anchor.start, location.unit, location.first, location.last]
    sheet = _one_line(location.sheet, MAX_SHEET_CHARS)
    if location.member:
        return [*row, sheet, int(anchor.counts_lines), _one_line(location.member, MAX_MEMBER_CHARS)]
    return [*row, sheet, 1] if anchor.counts_lines else [*row, sheet] if sheet else row


def _decode(source_map: str) -> Iterator[Anchor]:
    for start, *place in json.loads(source_map) if source_map else ():
        location = Location(*place[:4], *place[5:]) if place else None
        yield Anchor(start, location, counts_lines=len(place) > 4 and bool(place[4]))


def _one_line(name: str, max_chars: int) -> str:
    """A name that every database and every terminal can show."""
    visible = "".join(character if character.isprintable() else " " for character in name)
    return " ".join(visible.split())[:max_chars]
