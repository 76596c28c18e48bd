"""From markers in a stream of text to citations of characters in files.

A model writes `[2]` after a claim from passage 2. CitationStream replaces the passage numbers by citation ids, delta by
delta, and makes the citations: the characters of a file that support the claim.
"""

from dataclasses import dataclass

from models.generation.markers import MarkerScanner, Token
from models.generation.reading import Sentence, sentence, sentences
from models.generation.sentences import MAX_UNIT_CHARS, Span, sentence_spans
from models.types import Passage

# A claim is one sentence. Two of the longest units are enough text to find its beginning.
_MAX_CLAIM_CHARS = 2 * MAX_UNIT_CHARS


@dataclass(frozen=True)
class Citation:
    """The target of a marker `[id]`: `quote` is characters `start` to `end` of the extracted text of passage's file.

    `id` counts from 1 in the order of first appearance. `score` compares the claim before the marker with the quote: F1
    of their stems, 1 if they are equal and 0 if they share no word.
    """

    id: int
    passage: Passage
    quote: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class CitedText:
    """Text to show now, and the citations whose first marker is in it."""

    text: str
    citations: tuple[Citation, ...] = ()


class CitationStream:
    """Reads an answer's deltas; their markers count `passages` from 1.

    `[n, m]` becomes `[a][b]`. The model made up a number without a passage: it is dropped, with the white space before
    it. Right after a letter or digit it stays, as an index in code: `row[99]`. The borders of the deltas change neither
    the text nor the citations.
    """

    def __init__(self, passages: tuple[Passage, ...]) -> None:
        self._passages = passages
        self._scanner = MarkerScanner()
        self._written = _WrittenText()
        self._after_word = False  # the last character was a letter or digit
        self._ids_since_word: list[int] = []  # cited since the last word
        self._citations: dict[tuple[int, Span], Citation] = {}

    def feed(self, delta: str) -> CitedText:
        """Text to show next. The last characters are held back while they may be the beginning of a marker."""
        return self._read(self._scanner.read(delta))

    def finish(self) -> CitedText:
        """The text that was held back."""
        return self._read(self._scanner.read("", is_last=True))

    def _read(self, tokens: list[Token]) -> CitedText:
        num_before = len(self._citations)
        text = "".join(self._show(token) for token in tokens)
        return CitedText(text, tuple(self._citations.values())[num_before:])

    def _show(self, token: Token) -> str:
        is_index, self._after_word = self._is_index(token), token.text[-1].isalnum()
        if token.is_marker and not is_index:
            return self._cite(token)
        text = token.with_joiners(token.joiners - 1) if token.joiners else token.text
        self._written.add(text)
        if text.strip():
            self._ids_since_word = []
        return text

    def _is_index(self, token: Token) -> bool:
        if not token.is_marker or token.space or not self._after_word:
            return False
        return all(number > len(self._passages) for number in token.passage_numbers())

    def _cite(self, token: Token) -> str:
        numbers = [number for number in token.passage_numbers() if number <= len(self._passages)]
        ids = list(dict.fromkeys(self._citation(number).id for number in numbers))
        new = [citation_id for citation_id in ids if citation_id not in self._ids_since_word]
        self._ids_since_word += new
        self._written.mark()
        return token.space + "".join(f"[{citation_id}]" for citation_id in new) if new else ""

    def _citation(self, number: int) -> Citation:
        """The citation of passage `number` for the last claim: an existing one if it has the same quote."""
        passage = self._passages[number - 1]
        quotable = sentences(passage.text) or (sentence(passage.text, (0, len(passage.text))),)
        pairs = [(claim, quote) for claim in self._written.claims() for quote in quotable]
        claim, quoted = max(pairs, key=lambda pair: (_similarity(*pair), pair[0].text == pair[1].text))
        key = (number, quoted.span)
        if key not in self._citations:
            start, end = (passage.start + offset for offset in quoted.span)
            score = _similarity(claim, quoted)
            self._citations[key] = Citation(len(self._citations) + 1, passage, quoted.text, start, end, score)
        return self._citations[key]


@dataclass
class _WrittenText:
    """The last characters of an answer without markers: of the whole answer, and of the text after the last marker."""

    whole: str = ""
    since_marker: str = ""
    is_marked: bool = False  # no text since the last marker

    def add(self, text: str) -> None:
        since = "" if self.is_marked else self.since_marker
        self.whole = (self.whole + text)[-_MAX_CLAIM_CHARS:]
        self.since_marker = (since + text)[-_MAX_CLAIM_CHARS:]
        self.is_marked = False

    def mark(self) -> None:
        self.is_marked = True

    def claims(self) -> list[Sentence]:
        """The possible claims of a marker here: in "A [1] and B [2]", passage 2 supports "A and B" or "and B"."""
        candidates = [_last_sentence(text) for text in dict.fromkeys((self.whole, self.since_marker))]
        return [claim for claim in candidates if claim is not None] or [sentence("", (0, 0))]


def _similarity(claim: Sentence, quote: Sentence) -> float:
    """F1 of the stems that the two share."""
    total = len(claim.stems) + len(quote.stems)
    return 2 * len(claim.stems & quote.stems) / total if total else 0.0


def _last_sentence(text: str) -> Sentence | None:
    spans = sentence_spans(text)
    return sentence(text, spans[-1]) if spans else None
