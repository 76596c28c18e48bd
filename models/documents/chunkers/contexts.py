"""The line above a chunk: its title, its headings, and the names of the columns of its table."""

from models.documents.base import Block, Document
from models.documents.chunkers.column_names import ColumnNames
from models.documents.text import one_line
from models.tokens.text_tokenizer import Tokenizer

MAX_CONTEXT_TOKENS = 32  # of the headings. Names of columns may take more: the text is then shorter.
NUM_SEPARATOR_TOKENS = 2
CONTEXT_SEPARATOR = " > "
TITLE_SEPARATORS = (" - ", " | ", " – ", " — ", " · ")  # "Duck - Wikipedia"


class Contexts:
    """Title, headings and names of columns as one line.

    Title and headings have at most `max_heading_tokens` tokens; the outermost are dropped first. Names of columns come
    on top of them, at most half a chunk.
    """

    def __init__(
        self,
        document: Document,
        tokenizer: Tokenizer,
        max_tokens: int,
        max_heading_tokens: int = MAX_CONTEXT_TOKENS,
    ) -> None:
        self._document = document
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._max_heading_tokens = max_heading_tokens
        self._column_names = ColumnNames(document, tokenizer, max_tokens // 2)
        self._headings: dict[tuple[Block, ...], tuple[str, int]] = {}

    def of(self, path: tuple[Block, ...], start: int) -> str:
        """The context of a chunk under the headings `path` that begins at `start`."""
        names, _ = self._column_names.above(start)
        return CONTEXT_SEPARATOR.join(filter(None, (self._bounded(path)[0], names)))

    def max_tokens(self, path: tuple[Block, ...], start: int) -> int:
        """The most tokens of that chunk's text."""
        _, num_tokens = self._column_names.above(start)
        if not num_tokens:
            return self._max_tokens
        excess = self._bounded(path)[1] + NUM_SEPARATOR_TOKENS + num_tokens - self._max_heading_tokens
        return self._max_tokens - max(0, excess)

    def _names(self, path: tuple[Block, ...]) -> list[str]:
        headings = [one_line(self._document.text[block.start : block.end]) for block in path]
        title = one_line(self._document.title)
        is_repeated = bool(headings) and headings[0].casefold() in _title_parts(title.casefold())
        return headings if is_repeated or not title else [title, *headings]

    def _bounded(self, path: tuple[Block, ...]) -> tuple[str, int]:
        """Title and headings, and their number of tokens."""
        if path not in self._headings:
            self._headings[path] = self._shortened(self._names(path))
        return self._headings[path]

    def _shortened(self, names: list[str]) -> tuple[str, int]:
        while True:
            context = CONTEXT_SEPARATOR.join(names)
            (starts,) = self._tokenizer.token_starts([context])
            if len(starts) <= self._max_heading_tokens:
                return context, len(starts)
            # A single heading that is too long is truncated, and again if the cut word now has more tokens.
            names = names[1:] or [context[: starts[self._max_heading_tokens]].rstrip()]


def _title_parts(title: str) -> set[str]:
    names = {title}
    for separator in TITLE_SEPARATORS:
        names.update(name.strip() for name in title.split(separator))
    return names
