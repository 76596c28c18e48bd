"""Markers in the texts of an answer's steps: a step cites only what it has read, itself or in a draft."""

from models.generation.markers import MarkerScanner, Token


class MarkerSieve:
    """Drops the markers of passages that a step has not read, delta by delta. Other text stays as it is.

    As CitationStream does, it leaves a number without a passage right after a word: an index in code.
    """

    def __init__(self, allowed: frozenset[int], num_passages: int) -> None:
        """`allowed` are numbers of passages, from 1."""
        self._allowed, self._num_passages = allowed, num_passages
        self._scanner = MarkerScanner()
        self._after_word = False  # the last character was a letter or digit

    def read(self, text: str, is_last: bool = False) -> str:
        """Text to pass on. The end is held back while a marker could begin there."""
        return "".join(map(self._shown, self._scanner.read(text, is_last)))

    def _shown(self, token: Token) -> str:
        numbers = token.passage_numbers() if token.is_marker else []
        is_index = not token.space and self._after_word and all(number > self._num_passages for number in numbers)
        self._after_word = token.text[-1].isalnum()
        valid = [number for number in numbers if number in self._allowed]
        if is_index or valid == numbers:
            return token.text
        return f"{token.space}[{', '.join(map(str, valid))}]" if valid else ""


def sifted(text: str, allowed: frozenset[int], num_passages: int) -> str:
    """A whole text without the markers of passages that are not allowed."""
    return MarkerSieve(allowed, num_passages).read(text, is_last=True)


def numbers_in(text: str) -> frozenset[int]:
    """The passages that the markers of a text name, from 1."""
    tokens = MarkerScanner().read(text, is_last=True)
    return frozenset(number for token in tokens if token.is_marker for number in token.passage_numbers())
