"""Joins the documents of files inside a file to one: each under a heading with its path."""

from collections import Counter
from dataclasses import replace

from models.documents.base import MAX_HEADING_LEVEL, Block, Document
from models.documents.text import clean, is_visible, one_line
from models.location import Anchor

SEPARATOR = "\n\n"


class MemberJoiner:
    """Appends documents to `outer`. Their headings move a level down, below the headings of their files."""

    def __init__(self, outer: Document) -> None:
        self._outer = outer
        self._texts = [outer.text] if outer.text else []
        self._blocks = list(outer.blocks)
        self._anchors = list(outer.anchors)
        self._length = len(outer.text)
        self._omissions: Counter[str] = Counter(dict(outer.omissions))
        self._doubts = [outer.doubt] if outer.doubt else []

    def add(self, path: str, document: Document) -> None:
        """Append a document under its path, unless it is blank."""
        self._omissions.update(dict(document.omissions))
        if not document.blocks or not is_visible(document.text):
            return
        heading = one_line(clean(path)) or "file"
        if document.doubt:
            self._doubts.append(f"{heading}: {document.doubt}")
        start = self._append(heading)
        self._blocks.append(Block("heading", start, self._length, 1))
        shift = self._append(document.text)
        self._blocks.extend(_moved(block, shift) for block in document.blocks)
        self._anchors.append(Anchor(start, None))
        self._anchors.extend(_anchor_inside(anchor, heading, shift) for anchor in document.anchors)

    def omit(self, name: str) -> None:
        """Count a file that is left out, by its name in the plural."""
        self._omissions[name] += 1

    def build(self) -> Document:
        omissions = tuple(sorted(self._omissions.items()))
        doubt = "; ".join(self._doubts)
        text, blocks = "".join(self._texts), tuple(self._blocks)
        anchors = tuple(self._anchors) if any(anchor.location for anchor in self._anchors) else ()
        return replace(self._outer, text=text, blocks=blocks, omissions=omissions, doubt=doubt, anchors=anchors)

    def _append(self, text: str) -> int:
        """Append a text. Returns where it starts."""
        if self._texts:
            self._texts.append(SEPARATOR)
            self._length += len(SEPARATOR)
        start = self._length
        self._texts.append(text)
        self._length += len(text)
        return start


def _anchor_inside(anchor: Anchor, path: str, shift: int) -> Anchor:
    location = anchor.location and anchor.location.inside(path)
    return Anchor(anchor.start + shift, location, anchor.counts_lines)


def _moved(block: Block, shift: int) -> Block:
    level = min(block.level + 1, MAX_HEADING_LEVEL) if block.level else 0
    names_end = block.names_end + shift if block.names_end else 0
    return replace(block, start=block.start + shift, end=block.end + shift, level=level, names_end=names_end)
