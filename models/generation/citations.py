"""From markers in a stream of text to citations of characters in files.

A model writes `[2]` behind what it takes from passage 2. CitationStream turns that, delta by delta, into text whose
markers carry citation ids, and into the citations: which characters of which file say so.
"""

from dataclasses import dataclass

from models.generation.markers import MarkerScanner, Token
from models.generation.reading import Sentence, sentence, sentences
from models.generation.sentences import MAX_UNIT_CHARS, Span, sentence_spans
from models.types import Passage

# A claim is one sentence: two of the longest units are enough to see where it begins.
_MAX_CLAIM_CHARS = 2 * MAX_UNIT_CHARS


@dataclass(frozen=True)
class Citation:
    """What a marker `[id]` points to: `quote` is characters `start` to `end` of the extracted text of passage's file.

    `id` counts from 1 in the order of first appearance. `score` says how much the claim before the marker has in
    common with the quote: F1 of their stems, 1 where they are the same and 0 where they share no word.
    """

    id: int
    passage: Passage
    quote: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class CitedText:
    """Text that can be shown now, and the citations whose marker is in it for the first time."""

    text: str
    citations: tuple[Citation, ...] = ()


class CitationStream:
    """Reads an answer's deltas, with markers that count `passages` from 1.

    `[n, m]` comes out as `[a][b]`. A number without a passage is dropped with the white space before it, for the model
    made it up; except right after a letter or digit, where it is an index of code: `row[99]`. Where deltas begin and
    end changes neither the text nor the citations.
    """

    def __init__(self, passages: tuple[Passage, ...]) -> None:
        self._passages = passages
        self._scanner = MarkerScanner()
        self._said = _Said()
        self._after_word = False  # a letter or digit was read last
        self._ids_here: list[int] = []  # cited since the last word
        self._citations: dict[tuple[int, Span], Citation] = {}

    def feed(self, delta: str) -> CitedText:
        """What can be shown and was not yet: the last characters wait while they may be the beginning of a marker."""
        return self._read(self._scanner.read(delta))

    def finish(self) -> CitedText:
        """What was held back."""
        return self._read(self._scanner.read("", is_last=True))

    def _read(self, tokens: list[Token]) -> CitedText:
        num_known = len(self._citations)
        text = "".join(self._show(token) for token in tokens)
        return CitedText(text, tuple(self._citations.values())[num_known:])

    def _show(self, token: Token) -> str:
        is_index, self._after_word = self._is_index(token), token.text[-1].isalnum()
        if token.is_marker and not is_index:
            return self._cite(token)
        text = token.with_joiners(token.joiners - 1) if token.joiners else token.text
        self._said.add(text)
        if text.strip():
            self._ids_here = []
        return text

    def _is_index(self, token: Token) -> bool:
        if not token.is_marker or token.space or not self._after_word:
            return False
        return all(number > len(self._passages) for number in token.passage_numbers())

    def _cite(self, token: Token) -> str:
        known = [number for number in token.passage_numbers() if number <= len(self._passages)]
        ids = list(dict.fromkeys(self._citation(number).id for number in known))
        new = [citation_id for citation_id in ids if citation_id not in self._ids_here]
        self._ids_here += new
        self._said.mark()
        return token.space + "".join(f"[{citation_id}]" for citation_id in new) if new else ""

    def _citation(self, number: int) -> Citation:
        """The citation of passage `number` for the claim just made: a known one, if it has the same quote."""
        passage = self._passages[number - 1]
        quotable = sentences(passage.text) or (sentence(passage.text, (0, len(passage.text))),)
        pairs = [(claim, one) for claim in self._said.claims() for one in quotable]
        claim, quoted = max(pairs, key=lambda pair: (_similarity(*pair), pair[0].text == pair[1].text))
        key = (number, quoted.span)
        if key not in self._citations:
            start, end = (passage.start + offset for offset in quoted.span)
            score = _similarity(claim, quoted)
            self._citations[key] = Citation(len(self._citations) + 1, passage, quoted.text, start, end, score)
        return self._citations[key]


@dataclass
class _Said:
    """The end of an answer without its markers: of all of it, and of what stands behind the last marker."""

    whole: str = ""
    since_marker: str = ""
    is_marked: bool = False  # nothing was said since the last marker

    def add(self, text: str) -> None:
        since = "" if self.is_marked else self.since_marker
        self.whole = (self.whole + text)[-_MAX_CLAIM_CHARS:]
        self.since_marker = (since + text)[-_MAX_CLAIM_CHARS:]
        self.is_marked = False

    def mark(self) -> None:
        self.is_marked = True

    def claims(self) -> list[Sentence]:
        """What a marker here may stand for: "A [1] and B [2]" claims "A and B" or "and B" of passage 2."""
        said = [_last_sentence(text) for text in dict.fromkeys((self.whole, self.since_marker))]
        return [one for one in said if one is not None] or [sentence("", (0, 0))]


def _similarity(one: Sentence, other: Sentence) -> float:
    """F1 of the stems that the two share."""
    total = len(one.stems) + len(other.stems)
    return 2 * len(one.stems & other.stems) / total if total else 0.0


def _last_sentence(text: str) -> Sentence | None:
    spans = sentence_spans(text)
    return sentence(text, spans[-1]) if spans else None
