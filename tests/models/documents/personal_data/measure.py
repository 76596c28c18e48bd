"""Measures the masks on the labelled sentences: python -m tests.models.documents.personal_data.measure"""

from collections import Counter
from dataclasses import dataclass

from models.documents.personal_data.masking import mask
from models.enrichment.options import KINDS
from tests.models.documents.personal_data.labelled_sentences import labelled


@dataclass(frozen=True)
class Measured:
    """Counts by kind, and the sentences that were masked wrong."""

    right: Counter[str]
    missed: Counter[str]
    wrong: Counter[str]
    failures: list[str]

    def precision(self) -> float:
        return self.right.total() / (self.right.total() + self.wrong.total())

    def recall(self) -> float:
        return self.right.total() / (self.right.total() + self.missed.total())


def measure() -> Measured:
    """A piece is right if exactly its characters are masked, as its kind."""
    measured = Measured(Counter(), Counter(), Counter(), [])
    for sentence, expected in labelled():
        masked = mask(sentence, KINDS)
        pieces = [sentence[start:end] for start, end in zip(masked.starts, masked.ends, strict=True)]
        kinds = [name for name in _names(masked.text, len(pieces))]
        actual, labels = Counter(zip(kinds, pieces, strict=True)), Counter(expected)
        measured.right.update(kind for kind, _ in (actual & labels).elements())
        measured.missed.update(kind for kind, _ in (labels - actual).elements())
        measured.wrong.update(kind for kind, _ in (actual - labels).elements())
        if actual != labels:
            measured.failures.append(f"{sentence!r}: {masked.text!r}")
    return measured


def _names(text: str, num_pieces: int) -> list[str]:
    """The kinds of the masks in a text, in order."""
    names = sorted((place, kind) for kind in KINDS for place in _places(text, f"[{kind.upper()}]"))
    assert len(names) == num_pieces
    return [kind for _, kind in names]


def _places(text: str, name: str) -> list[int]:
    return [place for place in range(len(text)) if text.startswith(name, place)]


if __name__ == "__main__":
    result = measure()
    for kind in KINDS:
        print(f"{kind}: {result.right[kind]} right, {result.missed[kind]} missed, {result.wrong[kind]} wrong")  # noqa: T201
    print(f"precision {result.precision():.3f}, recall {result.recall():.3f}")  # noqa: T201
    print("\n".join(result.failures))  # noqa: T201
