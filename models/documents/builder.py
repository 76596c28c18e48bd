"""Builds a Document block by block, for formats whose text is not simply the file's own."""

import textwrap

from models.documents.base import MAX_HEADING_LEVEL, Block, BlockKind, Document
from models.documents.text import clean, one_line

MAX_INDENT = 16  # a page of 1,900 nested lists would else be mostly spaces


class DocumentBuilder:
    """Collects blocks and joins them: a blank line between blocks, a line break between items of a list."""

    def __init__(self) -> None:
        self.title = ""
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0

    def add(self, kind: BlockKind, text: str, level: int = 0, indent: int = 0) -> None:
        """Appends a block unless it is blank. `level` is a heading's; `indent`, in spaces, a nested list item's."""
        text = clean(text)
        text = textwrap.dedent(text).strip() if kind == "code" else text.strip()
        if not text:
            return
        self._append(self._separator(kind) + " " * min(indent, MAX_INDENT) if self._blocks else "")
        start = self._length
        self._append(text)
        self._blocks.append(Block(kind, start, self._length, min(level, MAX_HEADING_LEVEL)))

    def build(self) -> Document:
        """The document so far. Without a title of its own, the only heading of level 1 is the title."""
        text = "".join(self._parts)
        return Document(text, tuple(self._blocks), one_line(clean(self.title)) or self._only_top_heading(text))

    def _separator(self, kind: BlockKind) -> str:
        return "\n" if kind == self._blocks[-1].kind == "list_item" else "\n\n"

    def _append(self, part: str) -> None:
        self._parts.append(part)
        self._length += len(part)

    def _only_top_heading(self, text: str) -> str:
        tops = [block for block in self._blocks if block.level == 1]
        return one_line(text[tops[0].start : tops[0].end]) if len(tops) == 1 else ""
