"""The parts of an EPUB book: its chapters in reading order, and their names in the table of contents."""

import posixpath
from dataclasses import dataclass
from urllib.parse import unquote

from models.documents.office.package import OfficePackage
from models.documents.text import one_line
from models.documents.word.xml import Element

CONTAINER = "META-INF/container.xml"
PAGES = frozenset(["application/xhtml+xml", "text/html", "application/x-dtbook+xml"])
TABLE_OF_CONTENTS = "application/x-dtbncx+xml"


@dataclass(frozen=True)
class Book:
    """`chapters` are parts of the archive, in the order of the spine. `names`: of chapters, by part."""

    title: str
    chapters: tuple[str, ...]
    names: dict[str, str]


def read_book(package: OfficePackage) -> Book:
    """Raises KeyError for an archive that is no book, and the errors of zipfile and lxml."""
    rootfile = next(package.root(CONTAINER).iter("{*}rootfile"))
    main_part = rootfile.get("full-path") or ""
    root = package.root(main_part)
    folder = posixpath.dirname(main_part)
    items = {item.get("id") or "": item for item in root.iter("{*}item")}
    spine = [items[key] for ref in root.iter("{*}itemref") if (key := ref.get("idref") or "") in items]
    pages = (item for item in spine if (item.get("media-type") or "") in PAGES)
    chapters = dict.fromkeys(_part(folder, item.get("href") or "") for item in pages)
    title = next((element.text or "" for element in root.iter("{http://purl.org/dc/elements/1.1/}title")), "")
    return Book(one_line(title), tuple(chapters), _names(package, folder, items))


def _names(package: OfficePackage, folder: str, items: dict[str, Element]) -> dict[str, str]:
    names: dict[str, str] = {}
    for item in items.values():
        page = _part(folder, item.get("href") or "")
        if "nav" in (item.get("properties") or "").split():
            root = package.optional(page)
            for link in [] if root is None else root.iter("{*}a"):
                _add(names, page, link.get("href") or "", "".join(link.itertext()))
        elif item.get("media-type") == TABLE_OF_CONTENTS:
            root = package.optional(page)
            for point in [] if root is None else root.iter("{*}navPoint"):
                source, label = point.find("{*}content"), point.find("{*}navLabel")
                if source is not None and label is not None:
                    _add(names, page, source.get("src") or "", "".join(label.itertext()))
    return names


def _add(names: dict[str, str], page: str, link: str, name: str) -> None:
    target = _part(posixpath.dirname(page), link.partition("#")[0])
    if one_line(name):
        names.setdefault(target, one_line(name))


def _part(folder: str, link: str) -> str:
    return posixpath.normpath(posixpath.join("/", folder, unquote(link))).lstrip("/")
