"""From markers in a stream of text to citations of characters in files.

A model writes `[2]` after a claim from passage 2. CitationStream replaces the passage numbers by citation ids, delta by
delta, and makes the citations: the characters of a file that support the claim.
"""

from dataclasses import dataclass

from models.generation.markers import MarkerScanner, Token, escape_markers
from models.generation.reading import Sentence, sentence, sentences
from models.generation.sentences import MAX_UNIT_CHARS, Span, sentence_spans
from models.location import Location
from models.types.chunks import Passage
from models.types.generation import GenerationDelta, Mark

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

    @property
    def location(self) -> Location | None:
        """Where the quote stands in the file: page, slide, row or line. None: unknown."""
        return self.passage.location_of(self.start, self.end)


@dataclass(frozen=True)
class Marker:
    """Characters `start` to `end` of the whole answer are a marker of citation `citation_id`."""

    citation_id: int
    start: int
    end: int


@dataclass(frozen=True)
class CitedText:
    """Text to show now, the citations whose first marker is in it, and all its markers."""

    text: str
    citations: tuple[Citation, ...] = ()
    markers: tuple[Marker, ...] = ()


class CitationStream:
    """Reads an answer's deltas; their markers count `passages` from 1.

    `[n, m]` becomes `[a][b]`. The model made up a number without a passage: it is dropped, with the white space before
    it. Right after a letter or digit it stays, as an index in code: `row[99]`. A bracket that a passage has after the
    same word is the document's own: it is escaped. The borders of the deltas change neither the text nor the citations.
    """

    def __init__(self, passages: tuple[Passage, ...]) -> None:
        self._passages = passages
        self._scanner = MarkerScanner()
        self._written = _WrittenText()
        self._after_word = False  # the last character was a letter or digit
        self._ids_since_word: list[int] = []  # cited since the last word
        self._citations: dict[tuple[int, Span], Citation] = {}
        self._num_shown = 0  # characters
        self._markers: list[Marker] = []

    def read(self, delta: GenerationDelta) -> CitedText:
        """Text to show next. The last delta also brings the text that was held back."""
        shown = self.feed(delta.text) if delta.marks is None else self._quote(delta.text, delta.marks)
        if delta.finish_reason is None:
            return shown
        tail = self.finish()
        return CitedText(shown.text + tail.text, shown.citations + tail.citations, shown.markers + tail.markers)

    def feed(self, delta: str) -> CitedText:
        """Text to show next. The last characters are held back while they may be the beginning of a marker."""
        return self._read(self._scanner.read(delta))

    def finish(self) -> CitedText:
        """The text that was held back."""
        return self._read(self._scanner.read("", is_last=True))

    def _quote(self, text: str, marks: tuple[Mark, ...]) -> CitedText:
        """Text whose markers are known. Everything between them is shown as it is."""
        held_back, num_citations, num_markers = self.finish(), len(self._citations), len(self._markers)
        shown, position = "", 0
        for mark in marks:
            citation = self._add(mark.number, mark.quote, 1.0)
            shown = self._mark(shown + text[position : mark.start], [citation.id])
            position = mark.end
        shown += text[position:]
        self._num_shown += len(shown)
        new = tuple(self._citations.values())[num_citations:]
        markers = (*held_back.markers, *self._markers[num_markers:])
        return CitedText(held_back.text + shown, held_back.citations + new, markers)

    def _read(self, tokens: list[Token]) -> CitedText:
        num_citations, num_markers = len(self._citations), len(self._markers)
        text = ""
        for token in tokens:
            shown = self._show(token)
            text, self._num_shown = text + shown, self._num_shown + len(shown)
        return CitedText(text, tuple(self._citations.values())[num_citations:], tuple(self._markers[num_markers:]))

    def _show(self, token: Token) -> str:
        is_index, self._after_word = self._is_index(token), token.text[-1].isalnum()
        is_documents_own = self._is_documents_own(token)
        if token.is_marker and not is_index and not is_documents_own:
            return self._cite(token)
        text = escape_markers(token.text) if is_documents_own else token.text
        self._written.add(text)
        if text.strip():
            self._ids_since_word = []
        return text

    def _is_documents_own(self, token: Token) -> bool:
        """Whether a passage has this bracket after the same word."""
        before = self._written.last_word
        if not token.is_marker or not before:
            return False
        copied = f"{before}{token.space}[{token.numbers}]"
        return any(copied in passage.text for passage in self._passages)

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
        return self._mark(token.space, new) if new else ""

    def _mark(self, text: str, citation_ids: list[int]) -> str:
        """`text`, which is shown next, with markers at its end. Their places are recorded."""
        for citation_id in citation_ids:
            start = self._num_shown + len(text)
            text += f"[{citation_id}]"
            self._markers.append(Marker(citation_id, start, self._num_shown + len(text)))
        return text

    def _citation(self, number: int) -> Citation:
        """The citation of passage `number` for the last claim: an existing one if it has the same quote."""
        passage = self._passages[number - 1]
        quotable = sentences(passage.text) or (sentence(passage.text, (0, len(passage.text))),)
        pairs = [(claim, quote) for claim in self._written.claims() for quote in quotable]
        claim, quoted = max(pairs, key=lambda pair: (_similarity(*pair), pair[0].text == pair[1].text))
        return self._add(number, quoted.span, _similarity(claim, quoted))

    def _add(self, number: int, quote: Span, score: float) -> Citation:
        """The citation of characters `quote` of a passage, new or existing."""
        if (number, quote) not in self._citations:
            passage = self._passages[number - 1]
            start, end = (passage.start + offset for offset in quote)
            text = passage.text[slice(*quote)]
            citation = Citation(len(self._citations) + 1, passage, text, start, end, score)
            self._citations[number, quote] = citation
        return self._citations[number, quote]


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

    @property
    def last_word(self) -> str:
        """The word that ends the text; empty after white space and after a marker."""
        is_adjacent = not self.is_marked and not self.whole[-1:].isspace()
        return self.whole.split()[-1] if is_adjacent and self.whole else ""

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
