"""WordprocessingML: the names of its elements, and the values that they carry."""

from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

from lxml.etree import Element as AnyElement
from lxml.etree import _Element

Element: TypeAlias = _Element

NAMESPACES = {
    "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
    "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    "v": "urn:schemas-microsoft-com:vml",
    "rel": "http://schemas.openxmlformats.org/package/2006/relationships",
    "dc": "http://purl.org/dc/elements/1.1/",
}
OFF = frozenset(["0", "false", "off", "none"])


@cache
def name(prefixed: str) -> str:
    """lxml's name of an element or attribute: `w:p` -> `{http://...}p`."""
    prefix, _, local = prefixed.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def names(*prefixed: str) -> frozenset[str]:
    return frozenset(map(name, prefixed))


PARAGRAPH, TABLE, ROW, CELL, VALUE = map(name, ("w:p", "w:tbl", "w:tr", "w:tc", "w:val"))
# In properties, tabs are settings. Fallback repeats the text of a text box.
PROPERTIES = names("w:pPr", "w:rPr", "w:sectPr", "w:tblPr", "w:tblGrid", "w:trPr", "w:tcPr", "w:sdtPr", "mc:Fallback")
DELETED = names("w:del", "w:moveFrom")


def child(element: Element, path: str) -> Element | None:
    """The first element at a path of prefixed names, such as `w:pPr/w:numPr`."""
    for step in _steps(path):
        element = next(element.iterchildren(step), None)
        if element is None:
            return None
    return element


@cache
def _steps(path: str) -> tuple[str, ...]:
    return tuple(map(name, path.split("/")))


def value(element: Element, path: str) -> str:
    """The w:val of the element at `path`, or "" if there is none."""
    target = child(element, path)
    return "" if target is None else target.get(VALUE) or ""


def number(element: Element, path: str) -> int | None:
    """The w:val at `path` as a number of at most nine digits, else None."""
    digits = value(element, path)
    return int(digits) if digits.isdecimal() and len(digits) < 10 else None


def is_on(element: Element, path: str) -> bool | None:
    """The state of a switch: it is on unless its value says off. None if it is absent."""
    target = child(element, path)
    return None if target is None else (target.get(VALUE) or "1").lower() not in OFF


def outermost(parent: Element, tags: frozenset[str]) -> Iterator[Element]:
    """The elements with one of these tags, in order, also inside content controls, but not inside each other.

    Tracked deletions are left out. libxml2 refuses files more than 256 levels deep.
    """
    for element in parent.iterchildren(tag=AnyElement):
        if element.tag in tags:
            yield element
        elif element.tag not in PROPERTIES and element.tag not in DELETED:
            yield from outermost(element, tags)
