"""Finds the citation markers of a text that arrives in deltas.

`[2]` and `[2, 3]` are markers, also if a delta ends inside them. `[0]`, `[a]` and `[2024]` are text. So is everything
in `inline code` and in fenced code blocks, but not in ``quotation marks''.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# This invisible character between "[" and the number means: not a marker.
WORD_JOINER = "\u2060"

_NUMBERS = r" ?[1-9]\d{0,2}(?: ?, ?[1-9]\d{0,2}){0,7} ?"
_TOKEN = re.compile(
    rf"(?P<space>[ \t]*)\[(?P<joiners>{WORD_JOINER}{{0,8}})(?P<numbers>{_NUMBERS})\]|(?P<ticks>`+)|''|\n"
)
# The possible beginning of a token. The longest brackets have 8 joiners and 47 more characters.
_UNFINISHED = re.compile(rf"(?:[ \t]*\[[\d, {WORD_JOINER}]{{0,55}}|[ \t]+|`+|'|)\Z")
_FENCE_TICKS = 3
_OPENING_QUOTE, _CLOSING_QUOTE = "``", "''"  # TeX's quotation marks
_CODE_OR_MARKER = re.compile(
    rf"(?P<code>(?<!`)(?P<opening>`+)(?!`)[^`\n]+(?P=opening)(?!`))|(?P<marker>\[{_NUMBERS}\])"
)


@dataclass(frozen=True)
class Token:
    """A piece of the original text. With `numbers` it is a bracket of numbers outside code, after `space`.

    `joiners` counts the word joiners in the bracket. A marker has none.
    """

    text: str
    space: str = ""
    numbers: str = ""
    joiners: int = 0

    @property
    def is_marker(self) -> bool:
        return bool(self.numbers) and not self.joiners

    def passage_numbers(self) -> list[int]:
        """The numbers of a marker, in order."""
        return [int(number) for number in self.numbers.split(",")]


def escape_markers(text: str) -> str:
    """`text` with a word joiner in each bracket that looks like a marker: it belongs to a document.

    It looks the same, and no reader takes it for a citation. Inline code stays as it is: it must run when copied.
    """
    return _CODE_OR_MARKER.sub(lambda match: match["code"] or f"[{WORD_JOINER}{match['marker'][1:]}", text)


class MarkerScanner:
    """Splits a stream into tokens. The borders of the deltas do not change the joined tokens."""

    def __init__(self) -> None:
        self._pending = ""
        self._closing = ""  # the backticks that end the current code
        self._line_is_blank = True  # up to here

    def read(self, delta: str, is_last: bool = False) -> list[Token]:
        """The tokens that are complete. The end of the text is held back while a marker could begin there."""
        text = self._pending + delta
        unfinished = _UNFINISHED.search(text)
        end = len(text) if is_last or unfinished is None else unfinished.start()
        self._pending = text[end:]
        return list(self._tokens(text[:end]))

    def _tokens(self, text: str) -> Iterator[Token]:
        position = 0
        for match in _TOKEN.finditer(text):
            if position < match.start():
                yield self._plain(text[position : match.start()])
            yield self._token(match)
            position = match.end()
        if position < len(text):
            yield self._plain(text[position:])

    def _plain(self, text: str) -> Token:
        self._line_is_blank = self._line_is_blank and not text.strip()
        return Token(text)

    def _token(self, match: re.Match[str]) -> Token:
        text = match.group()
        if text == "\n":
            self._end_line()
            return Token(text)
        if match["ticks"]:
            self._read_ticks(text)
        if text == _CLOSING_QUOTE and self._closing == _OPENING_QUOTE:
            self._closing = ""
        self._line_is_blank = False
        if not match["numbers"] or self._closing:
            return Token(text)
        return Token(text, match["space"], match["numbers"], len(match["joiners"]))

    def _end_line(self) -> None:
        """Inline code ends with its line, so that a single backtick does not hide all later markers."""
        self._line_is_blank = True
        if len(self._closing) < _FENCE_TICKS:
            self._closing = ""

    def _read_ticks(self, ticks: str) -> None:
        is_fence = len(ticks) >= _FENCE_TICKS and self._line_is_blank
        if not self._closing:
            self._closing = ticks if is_fence else ticks[: _FENCE_TICKS - 1]
        elif len(self._closing) >= _FENCE_TICKS:
            self._closing = "" if is_fence and len(ticks) >= len(self._closing) else self._closing
        elif ticks[: _FENCE_TICKS - 1] == self._closing:
            self._closing = ""


def renumbered(text: str, numbers: Mapping[int, int]) -> str:
    """`text` with each marker's numbers replaced; those that `numbers` lacks stay."""
    tokens = MarkerScanner().read(text, is_last=True)
    return "".join(_renumbered(token, numbers) if token.is_marker else token.text for token in tokens)


def _renumbered(token: Token, numbers: Mapping[int, int]) -> str:
    return f"{token.space}[{', '.join(str(numbers.get(each, each)) for each in token.passage_numbers())}]"
