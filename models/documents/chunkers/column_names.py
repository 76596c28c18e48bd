"""The names of a table's columns, for chunks that begin below them."""

from bisect import bisect_right

from models.documents.base import Document
from models.documents.text import one_line
from models.tokens.text_tokenizer import Tokenizer


class ColumnNames:
    """Finds the names above a place in a document. Longer names than `max_tokens` tokens are cut."""

    def __init__(self, document: Document, tokenizer: Tokenizer, max_tokens: int) -> None:
        tables = [block for block in document.blocks if block.names_end]
        self._starts = [block.names_end for block in tables]
        self._ends = [block.end for block in tables]
        lines = [one_line(document.text[block.start : block.names_end]) for block in tables]
        token_starts = tokenizer.token_starts(lines) if lines else []
        self._names = [
            line if len(starts) <= max_tokens else line[: starts[max_tokens]].rstrip(" |,;")
            for line, starts in zip(lines, token_starts, strict=True)
        ]
        self._num_tokens = [min(len(starts), max_tokens) for starts in token_starts]

    def above(self, position: int) -> tuple[str, int]:
        """The names of the table whose rows are at `position`, and their number of tokens; "" and 0 if none are."""
        table = bisect_right(self._starts, position) - 1
        if table < 0 or position >= self._ends[table]:
            return "", 0
        return self._names[table], self._num_tokens[table]
