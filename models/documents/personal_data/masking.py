"""Masks personal data in a document: each piece becomes the name of its kind, such as [EMAIL].

It comes before chunking, so that chunks, titles, contexts, sheets' names, attributes and what a search shows have none.
It is linear in the text, also in texts made to harm: every pattern begins at a rare character or looks a bounded way.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from models.documents.base import Block, Document
from models.documents.personal_data.cards import find_cards
from models.documents.personal_data.columns import Columns
from models.documents.personal_data.emails import find_emails
from models.documents.personal_data.ibans import find_ibans
from models.documents.personal_data.ip_addresses import find_ip_addresses
from models.documents.personal_data.match import Clues, Detector, Match
from models.documents.personal_data.national_ids import find_national_ids
from models.documents.personal_data.phones import find_phones
from models.documents.personal_data.view import view_of
from models.enrichment.options import Kind
from models.location import Anchor

# Where two matches overlap, the kind that comes first wins.
DETECTORS: dict[Kind, Detector] = {
    "email": find_emails,
    "iban": find_ibans,
    "card": find_cards,
    "national_id": find_national_ids,
    "ip_address": find_ip_addresses,
    "phone": find_phones,
}


@dataclass(frozen=True)
class Masked:
    """A text with masks, and the places in it: `starts` and `ends` of the masked pieces in the original text."""

    text: str
    starts: list[int]
    ends: list[int]
    shifts: list[int]  # by how much the text after each piece has moved
    counts: Counter[str]

    def place(self, position: int) -> int:
        """Where a character of the original text stands. Of one inside a masked piece: where its mask ends."""
        number = bisect_right(self.starts, position) - 1
        if number < 0 or position == self.starts[number]:
            return position + (self.shifts[number - 1] if number > 0 else 0)
        return max(position, self.ends[number]) + self.shifts[number]


def mask_document(document: Document, kinds: Collection[Kind]) -> tuple[Document, tuple[tuple[str, int], ...]]:
    """The document without personal data of these kinds, and how many pieces were masked, by kind.

    A title that repeats a part of the text does not count again.
    """
    if not kinds:
        return document, ()
    columns = Columns(document.text, document.blocks)
    masked = mask(document.text, kinds, columns)
    title = mask(document.title, kinds)
    counts = masked.counts if document.title in document.text else masked.counts + title.counts
    filename, doubt = mask(document.filename, kinds).text, mask(document.doubt, kinds).text
    omissions = tuple((mask(name, kinds).text, count) for name, count in document.omissions)
    clean = replace(document, title=title.text, filename=filename, doubt=doubt, omissions=omissions)
    moved = replace(clean, text=masked.text, blocks=_moved_blocks(document.blocks, masked))
    anchors = _moved_anchors(document.anchors, masked, kinds)
    return replace(moved, anchors=anchors), tuple(sorted(counts.items()))


def mask(text: str, kinds: Collection[Kind], columns: Columns | None = None) -> Masked:
    """The text without personal data of these kinds. `columns` are those of its tables."""
    starts: list[int] = []
    ends: list[int] = []
    shifts: list[int] = []
    pieces: list[str] = []
    counts: Counter[str] = Counter()
    end = shift = 0
    for match in _distinct(_matches(columns or Columns(text, ()), kinds)):
        # The lines stay: places in the file are counted by them.
        name = f"[{match.kind.upper()}]" + "\n" * text.count("\n", match.start, match.end)
        pieces += (text[end : match.start], name)
        end = match.end
        shift += len(name) - (match.end - match.start)
        starts.append(match.start)
        ends.append(match.end)
        shifts.append(shift)
        counts[match.kind] += 1
    return Masked("".join([*pieces, text[end:]]), starts, ends, shifts, counts)


def _matches(columns: Columns, kinds: Collection[Kind]) -> Iterator[Match]:
    """All matches as places in the text, the first kinds first."""
    view = view_of(columns.separated())
    clues = Clues(view.text, lambda start: columns.name_at(view.span(start, start + 1)[0]))
    for kind, find in DETECTORS.items():
        if kind in kinds:
            for match in find(view.text, clues):
                yield Match(match.kind, *view.span(match.start, match.end))


def _distinct(matches: Iterable[Match]) -> list[Match]:
    """The matches in order of the text. Of those that overlap, the earlier kind, and of one kind the longest."""
    rank = {kind: number for number, kind in enumerate(DETECTORS)}
    distinct: list[Match] = []
    for match in sorted(matches, key=lambda match: (match.start, rank[match.kind], -match.end)):
        while distinct and match.start < distinct[-1].end and rank[match.kind] < rank[distinct[-1].kind]:
            distinct.pop()
        if not distinct or match.start >= distinct[-1].end:
            distinct.append(match)
    return distinct


def _moved_blocks(blocks: Sequence[Block], masked: Masked) -> tuple[Block, ...]:
    """The blocks at their new places. A piece over two blocks belongs to the first."""
    return tuple(block for block in (_moved(block, masked) for block in blocks) if block.end > block.start)


def _moved(block: Block, masked: Masked) -> Block:
    start, end = masked.place(block.start), masked.place(block.end)
    while start < end and masked.text[start].isspace():
        start += 1
    while start < end and masked.text[end - 1].isspace():
        end -= 1
    names_end = masked.place(block.names_end) if block.names_end else 0
    return replace(block, start=start, end=end, names_end=names_end if start < names_end < end else 0)


def _moved_anchors(anchors: Sequence[Anchor], masked: Masked, kinds: Collection[Kind]) -> tuple[Anchor, ...]:
    names = {anchor.location.sheet for anchor in anchors if anchor.location}
    sheets = {name: mask(name, kinds).text for name in names}
    return tuple(_moved_anchor(anchor, masked, sheets) for anchor in anchors)


def _moved_anchor(anchor: Anchor, masked: Masked, sheets: dict[str, str]) -> Anchor:
    location = anchor.location and replace(anchor.location, sheet=sheets[anchor.location.sheet])
    return replace(anchor, start=masked.place(anchor.start), location=location)
