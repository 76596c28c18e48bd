"""XML as lines of names and values. An element with text between its children is one passage."""

from collections.abc import Iterator
from typing import TypeAlias

from lxml.etree import Element as AnyElement
from lxml.etree import _Element

from models.documents.builder import DocumentBuilder
from models.documents.records.lines import MAX_PATH_CHARS, joined_path
from models.documents.text import one_line

Element: TypeAlias = _Element

MAX_ATTRIBUTE_CHARS = 200
SVG = "{http://www.w3.org/2000/svg}"
DRAWN_TEXT = (f"{SVG}title", f"{SVG}desc", f"{SVG}text")


def append_elements(root: Element, builder: DocumentBuilder) -> None:
    """Add a block for each record: the children of the first element that has several of them."""
    if root.tag == f"{SVG}svg":
        for element in root.iter(*DRAWN_TEXT):
            builder.add("paragraph", one_line("".join(element.itertext(with_tail=False))))
        return
    parent, above = root, list[str]()
    while len(children := _children(parent)) == 1 and not _is_passage(parent):
        above.extend(_own_lines(parent, _name(parent)))
        parent = children[0]
    records = _children(parent)
    if not records or _is_passage(parent):
        builder.add("table", "\n".join([*above, *_lines(parent, _name(parent))]))
        return
    builder.add("table", "\n".join([*above, *_own_lines(parent, _name(parent))]))
    plain = [record for record in records if not _children(record)]
    if len(plain) == len(records):
        builder.add("table", "\n".join(line for record in records for line in _lines(record, _name(record))))
        return
    for record in records:
        builder.add("table", "\n".join(_lines(record, _name(record))))


def _lines(element: Element, path: str) -> Iterator[str]:
    """The lines of an element. libxml2 refuses files more than 256 levels deep."""
    if _is_passage(element) or not _children(element):
        text = one_line("".join(element.itertext()))
        yield from _own_lines(element, path)
        if text:
            yield f"{path}: {text}"
        return
    yield from _own_lines(element, path)
    for child in _children(element):
        yield from _lines(child, joined_path(path, _name(child)))


def _own_lines(element: Element, path: str) -> Iterator[str]:
    for name, value in element.attrib.items():
        if value.strip() and len(value) <= MAX_ATTRIBUTE_CHARS and not str(name).startswith("{"):
            yield f"{path}.{name}: {one_line(value)}"


def _is_passage(element: Element) -> bool:
    """Whether text stands between the children, as in a paragraph with a word in italics."""
    if not _children(element):
        return False
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element.iterchildren())


def _children(element: Element) -> list[Element]:
    return list(element.iterchildren(tag=AnyElement))


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2][:MAX_PATH_CHARS]
