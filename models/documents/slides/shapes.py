"""The shapes of a slide, in the order in which a reader sees them."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from models.documents.word.xml import Element

TITLES = frozenset(["title", "ctrTitle"])
RUNNING = frozenset(["sldNum", "dt", "ftr", "hdr"])
BULLETED = frozenset(["", "body", "obj"])  # placeholders whose paragraphs are list items
ROW_HEIGHT = 228_600  # a quarter of an inch: shapes nearer than this stand side by side
MAX_DEPTH = 50  # groups inside groups

Position = tuple[int, int]  # (top, left) in English metric units


@dataclass(frozen=True)
class Shape:
    """A shape with its placeholder's type and index; both are empty for other shapes."""

    element: Element
    kind: str  # sp, graphicFrame, pic, ...
    placeholder: str
    index: str
    position: Position | None

    @property
    def is_title(self) -> bool:
        return self.placeholder in TITLES


def shapes(tree: Element, layout: "dict[tuple[str, str], Position] | None" = None) -> list[Shape]:
    """The shapes: titles first, then row by row, in each row from the left. Those without a place keep their turn."""
    unsorted = list(_walk(tree, layout or {}, 0))
    if any(shape.position is None for shape in unsorted if not shape.is_title):
        return sorted(unsorted, key=lambda shape: not shape.is_title)
    return sorted(unsorted, key=lambda shape: (not shape.is_title, *_row(shape.position)))


def _row(position: Position | None) -> Position:
    top, left = position or (0, 0)
    return top // ROW_HEIGHT, left


def layout_positions(tree: Element) -> dict[tuple[str, str], Position]:
    """The place of each placeholder of a layout or master, by type and index, and by type alone."""
    positions: dict[tuple[str, str], Position] = {}
    for shape in _walk(tree, {}, 0):
        if shape.position is not None and (shape.placeholder or shape.index):
            positions[shape.placeholder, shape.index] = shape.position
            positions.setdefault((shape.placeholder, "*"), shape.position)
            if shape.index:
                positions.setdefault(("*", shape.index), shape.position)
    return positions


def _walk(tree: Element, layout: dict[tuple[str, str], Position], depth: int) -> Iterator[Shape]:
    for element in tree.iterchildren(tag=etree.Element):
        kind = etree.QName(element).localname
        if kind == "AlternateContent":
            choice = element.find("{*}Choice")
            yield from _walk(choice if choice is not None else element, layout, depth)
        elif kind == "grpSp" and depth < MAX_DEPTH:
            group = _position(element, "{*}grpSpPr/{*}xfrm")
            inner = sorted(_walk(element, layout, depth + 1), key=lambda shape: _row(shape.position))
            yield from (Shape(s.element, s.kind, s.placeholder, s.index, group or s.position) for s in inner)
        elif kind in ("sp", "graphicFrame", "pic", "cxnSp"):
            yield _shape(element, kind, layout)


def _shape(element: Element, kind: str, layout: dict[tuple[str, str], Position]) -> Shape:
    placeholder = next(element.iterfind("./*/{*}nvPr/{*}ph"), None)
    name = "" if placeholder is None else placeholder.get("type") or "obj"
    index = "" if placeholder is None else placeholder.get("idx") or ""
    position = _position(element, "{*}spPr/{*}xfrm") or _position(element, "{*}xfrm")
    if position is None and placeholder is not None:
        position = layout.get((name, index)) or layout.get(("*", index)) or layout.get((name, "*"))
    return Shape(element, kind, name, index, position)


def _position(element: Element, path: str) -> Position | None:
    offset = element.find(f"{path}/{{*}}off")
    if offset is None:
        return None
    try:
        return int(offset.get("y") or ""), int(offset.get("x") or "")
    except ValueError:
        return None


def is_hidden(element: Element) -> bool:
    properties = next(element.iterfind("./*/{*}cNvPr"), None)
    return properties is not None and properties.get("hidden") in ("1", "true")
