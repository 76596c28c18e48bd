"""The seam of parsing: a file's bytes in, its text and the blocks it is made of out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "list_item", "table", "code"]

MAX_HEADING_LEVEL = 6


@dataclass(frozen=True)
class Block:
    """Characters `start` to `end` of `Document.text`; `level` is a heading's (1 to 6, 1 outermost), 0 otherwise."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True)
class Document:
    """A file's extracted text: what the API serves, and what every citation's start and end index into.

    `text` is NFC, its line breaks are "\\n", and it holds no control characters but tabs and no lone surrogates.
    `blocks` stand in order, do not overlap and neither begin nor end with white space. `title` may be empty.
    """

    text: str
    blocks: tuple[Block, ...]
    title: str = ""


Parser = Callable[[bytes, str], Document]
"""(content, filename) -> Document. Raises UnreadableDocumentError. Pure, and safe to call from several threads."""
