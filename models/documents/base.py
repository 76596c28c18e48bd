"""A document: a file's text and the blocks that it consists of."""

from dataclasses import dataclass
from typing import Literal

from models.location import Anchor

BlockKind = Literal["heading", "paragraph", "list_item", "table", "code"]

MAX_HEADING_LEVEL = 6


@dataclass(frozen=True)
class Block:
    """Characters `start` to `end` of `Document.text`; `level` is a heading's (1 to 6, 1 outermost), 0 otherwise.

    `names_end`: where the names of a table's columns end and its rows begin; 0 for a table without them, too.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    names_end: int = 0


@dataclass(frozen=True)
class Document:
    """A file's extracted text: the API serves it, and each citation's start and end are places in it.

    `text` is NFC. Its line breaks are "\\n". It has no control characters but tabs, and no lone surrogates.
    `blocks` are in order and do not overlap. None begins or ends with white space. `title` may be empty.
    `omissions` counts what the parser left out on purpose, by its name in the plural: ("hidden passages", 2).
    `doubt` says why the text may be wrong, and what to do. `filename` is the uploaded file's, empty if unknown.
    `anchors`, in order, say where the text stands in the file: the page of a PDF, the slide, the sheet and row, or the
    line of a text. A format without them, such as Word, has none. DocumentBuilder.locate and TableText.row_numbers make
    them. Chunks, passages and citations get their part of them.
    """

    text: str
    blocks: tuple[Block, ...]
    title: str = ""
    omissions: tuple[tuple[str, int], ...] = ()
    doubt: str = ""
    filename: str = ""
    anchors: tuple[Anchor, ...] = ()
