"""Text outside the main stream of a Word file: notes, comments, headers and footers."""

from collections import Counter
from collections.abc import Iterator

from models.documents.office.package import OfficePackage, Relationship
from models.documents.word.inline import Reference
from models.documents.word.numbering import written
from models.documents.word.xml import Element, name, value

PARTS = {"footnote": "footnotes", "endnote": "endnotes", "comment": "comments"}
NOTE_TAGS = {"footnote": "w:footnote", "endnote": "w:endnote", "comment": "w:comment"}
NUMBER_STYLES = {"footnote": "decimal", "endnote": "lowerRoman"}
RUNNING = {"header": "w:headerReference", "footer": "w:footerReference"}


class Notes:
    """Footnotes, endnotes and comments by reference. They are numbered as Word does: in the order of their marks."""

    def __init__(self, package: OfficePackage, main_part: str, body: Element) -> None:
        self._notes: dict[Reference, Element] = {}
        self._numbers: dict[Reference, int] = {}
        self._counts: Counter[str] = Counter()
        self._styles = {kind: _number_style(body, kind) for kind in NUMBER_STYLES}
        links = {link.kind: link.target for link in package.relationships(main_part)}
        for kind, link_kind in PARTS.items():
            root = package.optional(links[link_kind]) if link_kind in links else None
            for note in [] if root is None else root.iterchildren(name(NOTE_TAGS[kind])):
                if (note.get(name("w:type")) or "normal") == "normal":  # else the line above the notes
                    self._notes[Reference(kind, note.get(name("w:id")) or "")] = note

    def mark(self, reference: Reference) -> str:
        """The mark in the text, as in Markdown. A comment has none."""
        if reference.kind == "comment" or (reference not in self._notes and reference not in self._numbers):
            return ""
        if reference not in self._numbers:
            self._counts[reference.kind] += 1
            self._numbers[reference] = self._counts[reference.kind]
        return f"[^{written(self._numbers[reference], self._styles[reference.kind])}]"

    def pop(self, reference: Reference) -> tuple[str, Element] | None:
        """A note's label and element, the first time; None for a note that does not exist."""
        mark = self.mark(reference)
        note = self._notes.pop(reference, None)
        if note is None:
            return None
        return (f"{mark}: " if mark else f"Comment by {note.get(name('w:author')) or 'unknown'}: "), note


def _number_style(body: Element, kind: str) -> str:
    section = next(body.iter(name("w:sectPr")), None)
    style = "" if section is None else value(section, f"w:{kind}Pr/w:numFmt")
    return style or NUMBER_STYLES[kind]


def running_parts(package: OfficePackage, main_part: str, body: Element, kind: str) -> Iterator[Element]:
    """The headers or footers that some section uses, each once."""
    links: dict[str, Relationship] = {link.key: link for link in package.relationships(main_part)}
    targets: dict[str, None] = {}
    for reference in body.iter(name(RUNNING[kind])):
        link = links.get(reference.get(name("r:id")) or "")
        if link is not None:
            targets[link.target] = None
    for target in targets:
        root = package.optional(target)
        if root is not None:
            yield root
