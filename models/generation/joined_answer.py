"""Answers of several questions joined to one: the citations are numbered anew, and their markers moved."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from models.generation.citations import Citation, CitedText, Marker
from models.generation.support import Unsupported

GAP = "\n\n"


@dataclass
class JoinedAnswer:
    """The answer so far."""

    text: str = ""
    markers: list[Marker] = field(default_factory=list)
    unsupported: list[Unsupported] = field(default_factory=list)
    _citations: dict[tuple[int, int, int], Citation] = field(default_factory=dict)

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(self._citations.values())

    def add(self, answer: CitedText, unsupported: Sequence[Unsupported] = ()) -> CitedText:
        """What is new: the text to show next, citations that were not there, and their markers."""
        num_citations, num_markers = len(self._citations), len(self.markers)
        by_id = {citation.id: citation for citation in answer.citations}
        piece, position = GAP if self.text else "", 0
        shifts = [(0, len(self.text) + len(piece))]
        for marker in answer.markers:
            citation = self._renumbered(by_id[marker.citation_id])
            piece += answer.text[position : marker.start]
            start = len(self.text) + len(piece)
            piece += f"[{citation.id}]"
            self.markers.append(Marker(citation.id, start, len(self.text) + len(piece)))
            position = marker.end
            shifts.append((marker.end, len(self.text) + len(piece) - marker.end))
        piece += answer.text[position:]
        self.unsupported += [_shifted(each, shifts) for each in unsupported]
        self.text += piece
        return CitedText(piece, self.citations[num_citations:], tuple(self.markers[num_markers:]))

    def _renumbered(self, citation: Citation) -> Citation:
        """The same citation with a number of the whole answer."""
        key = (citation.passage.key, citation.start, citation.end)
        if key not in self._citations:
            self._citations[key] = replace(citation, id=len(self._citations) + 1)
        return self._citations[key]


def _shifted(sentence: Unsupported, shifts: Sequence[tuple[int, int]]) -> Unsupported:
    """A sentence at its place in the whole answer. `shifts`: from which place on, by how much."""
    if sentence.start is None or sentence.end is None:
        return sentence
    return replace(sentence, start=_moved(sentence.start, shifts), end=_moved(sentence.end, shifts))


def _moved(position: int, shifts: Sequence[tuple[int, int]]) -> int:
    return position + next(shift for place, shift in reversed(shifts) if place <= position)
