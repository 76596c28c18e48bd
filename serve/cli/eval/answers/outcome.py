"""An answer as it is measured, whether it came from this process or over HTTP."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.generation.support import is_claim, statements
from models.types.generation import ChatMessage

_MARKER = re.compile(r"\[([1-9]\d{0,2})\]")


@dataclass(frozen=True)
class Cite:
    """A citation: its number, the id of its document, and the quote."""

    number: int
    document_id: str
    quote: str


@dataclass(frozen=True)
class Claim:
    """A sentence of an answer, and the quotes that its markers cite."""

    text: str
    quotes: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """`is_declined`: the answer says that the documents have none, or replies to small talk."""

    text: str
    cites: tuple[Cite, ...]
    is_declined: bool

    @property
    def claims(self) -> list[Claim]:
        """The sentences that state something. A bracket of a document's own has a word joiner, and is no marker."""
        quotes = {cite.number: cite.quote for cite in self.cites}
        claims = []
        for piece in statements(self.text):
            numbers = map(int, _MARKER.findall(self.text[piece.start : piece.end]))
            cited = tuple(quotes[number] for number in dict.fromkeys(numbers) if number in quotes)
            if cited or is_claim(piece.text):
                claims.append(Claim(piece.text, cited))
        return claims

    @property
    def plain_text(self) -> str:
        return _MARKER.sub(" ", self.text)


class Answerer(Protocol):
    """Answers conversations over one set's documents."""

    def answer(self, messages: Sequence[ChatMessage]) -> Outcome:
        """Raises RagError."""
