"""The slides of an OpenDocument presentation: titles, text in reading order, tables and notes."""

import re

from models.documents.builder import DocumentBuilder
from models.documents.opendocument.names import name
from models.documents.opendocument.text import TextReader
from models.documents.slides.shapes import ROW_HEIGHT
from models.documents.text import one_line
from models.documents.word.xml import Element
from models.location import Location

HIDDEN_SLIDES, FOOTERS = "hidden slides", "slide footers and numbers"
RUNNING = frozenset(["footer", "date-time", "page-number", "header"])
LENGTH = re.compile(r"(-?\d{1,6}(?:\.\d{1,6})?)(cm|mm|in|pt|px)$")
UNITS = {"cm": 360_000, "mm": 36_000, "in": 914_400, "pt": 12_700, "px": 9_525}  # English metric units


def append_slides(body: Element, hidden_styles: frozenset[str], builder: DocumentBuilder, reader: TextReader) -> None:
    """Add each slide under its title."""
    for number, page in enumerate(body.iterchildren(name("draw:page")), 1):
        if (page.get(name("draw:style-name")) or "") in hidden_styles:
            builder.omit(HIDDEN_SLIDES)
            continue
        builder.locate(Location("slide", number, number))
        frames = sorted(_frames(page), key=_place)
        titles = [frame for frame in frames if _kind(frame) == "title"]
        title = one_line(" ".join("".join(frame.itertext()) for frame in titles))
        builder.add("heading", title or f"Slide {number}", 1)
        for frame in frames:
            if _kind(frame) in RUNNING:
                builder.omit(FOOTERS)
            elif frame not in titles:
                reader.frame(frame) if frame.tag == name("draw:frame") else reader.blocks(frame)
        _notes(page, builder)


def _frames(page: Element) -> list[Element]:
    shapes = map(name, ("draw:frame", "draw:custom-shape", "draw:rect", "draw:ellipse"))
    notes = page.find(name("presentation:notes"))
    inside_notes = set() if notes is None else set(notes.iter())
    return [element for element in page.iter(*shapes) if element not in inside_notes]


def _kind(frame: Element) -> str:
    return frame.get(name("presentation:class")) or ""


def _place(frame: Element) -> tuple[float, float]:
    top, left = _length(frame.get(name("svg:y"))), _length(frame.get(name("svg:x")))
    return top // ROW_HEIGHT, left


def _length(text: str | None) -> float:
    match = LENGTH.match(text or "")
    return float(match.group(1)) * UNITS[match.group(2)] if match else 0.0


def _notes(page: Element, builder: DocumentBuilder) -> None:
    notes = page.find(name("presentation:notes"))
    for frame in [] if notes is None else notes.iter(name("draw:frame")):
        lines = [one_line("".join(line.itertext())) for line in frame.iter(name("text:p"))]
        if _kind(frame) == "notes" and any(lines):
            builder.add("paragraph", "Notes: " + "\n".join(filter(None, lines)))
