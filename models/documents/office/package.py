"""The parts of an Office file: a zip archive whose relationships, not names, say which part is what."""

import io
import posixpath
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from lxml import etree

from models.documents.entities import spell_entities
from models.documents.word.xml import Element, name
from models.errors.requests import UnreadableDocumentError

MAX_ENTRIES = 10_000
MAX_TYPES_BYTES = 2**20
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What files with flipped bytes and missing parts raise. An encrypted entry is a RuntimeError, an unknown compression a
# NotImplementedError (its subclass).
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, etree.LxmlError, EOFError, OSError),
    *(KeyError, ValueError, RuntimeError, AttributeError, TypeError, IndexError, OverflowError),
)
NO_ARCHIVE = (zipfile.BadZipFile, NotImplementedError, ValueError, OSError)
WORD_TYPES = (b"wordprocessingml.document.main", b"wordprocessingml.template.main", b"ms-word.document.macroenabled")
SHEET_TYPES = (b"spreadsheetml.sheet.main", b"spreadsheetml.template.main", b"ms-excel.sheet.macroenabled")
SLIDE_TYPES = (
    *(b"presentationml.presentation.main", b"presentationml.slideshow.main", b"presentationml.template.main"),
    *(b"ms-powerpoint.presentation.macroenabled", b"ms-powerpoint.slideshow.macroenabled"),
)
# "Strict Open XML" has names of its own for the same elements.
STRICT = (
    (
        b"http://purl.oclc.org/ooxml/wordprocessingml/main",
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    ),
    (b"http://purl.oclc.org/ooxml/officeDocument/", b"http://schemas.openxmlformats.org/officeDocument/2006/"),
)


@dataclass(frozen=True)
class OfficeKind:
    """What made a file, for messages."""

    program: str
    extension: str


WORD, EXCEL = OfficeKind("Word", ".docx"), OfficeKind("Excel", ".xlsx")
POWERPOINT = OfficeKind("PowerPoint", ".pptx")


class BoundedStream(io.RawIOBase):
    """A stream that tells `take` how many bytes it has read."""

    def __init__(self, stream: IO[bytes], take: Callable[[int], None]) -> None:
        self._stream, self._take = stream, take

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._take(len(content))
        return content


@dataclass(frozen=True)
class Relationship:
    """A part that another part refers to. `kind` is the last word of its type, such as `footnotes`."""

    key: str
    kind: str
    target: str


class OfficePackage:
    """Reads parts when they are needed. Together they may have `max_xml_bytes`, whatever the archive claims."""

    def __init__(self, content: bytes, filename: str, max_xml_bytes: int) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(content))
        self._filename, self._max_xml_bytes = filename, max_xml_bytes
        self._room = max_xml_bytes
        # Entities stay unexpanded, and libxml2's own limits of depth and text hold.
        self._parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)

    def root(self, part_name: str) -> Element:
        """The root element of a part. Raises KeyError if there is no such part."""
        with self._archive.open(part_name) as stream:
            content = stream.read(self._room + 1)
        self._take(len(content))
        for strict, transitional in STRICT:
            content = content.replace(strict, transitional)
        root = etree.fromstring(content, self._parser)
        if b"<!DOCTYPE" in content:
            spell_entities(root)
        return root

    def stream(self, part_name: str) -> BoundedStream:
        """A part to read piece by piece, for parts that are too large for a tree. Raises KeyError without it."""
        return BoundedStream(self._archive.open(part_name), self._take)

    def _take(self, num_bytes: int) -> None:
        self._room -= num_bytes
        if self._room < 0:
            detail = f"its text unpacks to more than {self._max_xml_bytes:,} bytes of XML; split the file"
            raise UnreadableDocumentError(self._filename, "invalid_file", detail)

    def optional(self, part_name: str) -> Element | None:
        return self.root(part_name) if part_name in self._archive.NameToInfo else None

    def relationships(self, part_name: str) -> list[Relationship]:
        """What a part refers to inside the file; "" is the package itself."""
        folder, base = posixpath.split(part_name)
        root = self.optional(posixpath.join(folder, "_rels", f"{base}.rels"))
        return (
            [] if root is None else [_relationship(element, folder) for element in root.iter(name("rel:Relationship"))]
        )

    def related(self, part_name: str, kind: str) -> str | None:
        """The first part of this kind that a part refers to."""
        return next((link.target for link in self.relationships(part_name) if link.kind == kind), None)


def _relationship(element: Element, folder: str) -> Relationship:
    target = posixpath.normpath(posixpath.join("/", folder, element.get("Target") or ""))
    return Relationship(element.get("Id") or "", (element.get("Type") or "").rpartition("/")[2], target.lstrip("/"))


def holds(content: bytes, main_types: tuple[bytes, ...]) -> bool:
    """Whether an archive says that its main part has one of these types, whatever the name of the part."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open("[Content_Types].xml") as stream:
            types = stream.read(MAX_TYPES_BYTES).lower()
    except (*NO_ARCHIVE, KeyError, EOFError, RuntimeError, zlib.error):
        return False
    return any(kind in types for kind in main_types)


def check_archive(content: bytes, filename: str, max_unzipped_bytes: int, made_by: OfficeKind = WORD) -> None:
    """Raises UnreadableDocumentError for a file that is not a zip archive or claims to unpack to more."""
    if content.startswith(OLE_MAGIC):
        before = f"in the format before {made_by.program} 2007"
        detail = f"encrypted, or {before}; remove the password and save it as {made_by.extension}"
        raise UnreadableDocumentError(filename, "invalid_file", detail)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except NO_ARCHIVE as error:
        detail = f"not a file of {made_by.program} (no zip archive), or cut short; save it again as {made_by.extension}"
        raise UnreadableDocumentError(filename, "invalid_file", detail) from error
    num_bytes = sum(entry.file_size for entry in entries)
    if num_bytes > max_unzipped_bytes or len(entries) > MAX_ENTRIES:
        detail = (
            f"{len(entries):,} parts, which unpack to {num_bytes:,} bytes; at most {MAX_ENTRIES:,} parts and "
            f"{max_unzipped_bytes:,} bytes are allowed; split the file"
        )
        raise UnreadableDocumentError(filename, "invalid_file", detail)


def package_title(package: OfficePackage) -> str:
    """The title among the file's properties."""
    properties = package.related("", "core-properties")
    root = None if properties is None else package.optional(properties)
    title = None if root is None else root.find(name("dc:title"))
    return "" if title is None else title.text or ""
