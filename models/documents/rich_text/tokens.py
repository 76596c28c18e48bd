"""RTF as tokens: groups, control words, hexadecimal bytes and text. Time is linear."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["open", "close", "word", "byte", "symbol", "text"]

TOKEN = re.compile(
    rb"(?P<open>\{)|(?P<close>\})|\\(?P<word>[A-Za-z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<byte>[0-9A-Fa-f]{2})"
    rb"|\\(?P<symbol>[^A-Za-z])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|\\",
    re.DOTALL,
)


class Token(NamedTuple):
    """`text` of a word is its name, of a byte its two digits. `number` is a word's parameter."""

    kind: Kind
    text: bytes
    number: int | None = None


def tokens(content: bytes) -> Iterator[Token]:
    """The tokens of a file. Embedded binary data (\\bin) is skipped; a length beyond the end is ignored."""
    position = 0
    while match := TOKEN.match(content, position):
        position = match.end()
        kind = match.lastgroup
        if kind == "number" or kind == "word":
            parameter = match.group("number")
            number = None if parameter is None else int(parameter)
            if match.group("word") == b"bin" and number is not None and 0 < number <= len(content) - position:
                position += number
            yield Token("word", match.group("word"), number)
        elif kind is not None:
            yield Token(kind, match.group(kind))  # type: ignore[arg-type]
