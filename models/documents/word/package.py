"""The parts of a Word file: a zip archive whose relationships, not names, say which part is what."""

import io
import posixpath
import zipfile
from dataclasses import dataclass

from lxml import etree

from models.documents.word.xml import Element, name
from models.errors import UnreadableDocumentError

MAX_ENTRIES = 10_000
MAX_TYPES_BYTES = 2**20
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
NO_ARCHIVE = (zipfile.BadZipFile, NotImplementedError, ValueError, OSError)
MAIN_TYPES = (b"wordprocessingml.document.main", b"wordprocessingml.template.main", b"ms-word.document.macroenabled")
# "Strict Open XML" has names of its own for the same elements.
STRICT = (
    (
        b"http://purl.oclc.org/ooxml/wordprocessingml/main",
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    ),
    (b"http://purl.oclc.org/ooxml/officeDocument/", b"http://schemas.openxmlformats.org/officeDocument/2006/"),
)


@dataclass(frozen=True)
class Relationship:
    """A part that another part refers to. `kind` is the last word of its type, such as `footnotes`."""

    key: str
    kind: str
    target: str


class WordPackage:
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
        if len(content) > self._room:
            detail = f"its text unpacks to more than {self._max_xml_bytes:,} bytes of XML; split the file"
            raise UnreadableDocumentError(self._filename, "invalid_file", detail)
        self._room -= len(content)
        for strict, transitional in STRICT:
            content = content.replace(strict, transitional)
        return etree.fromstring(content, self._parser)

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


def holds_word_document(content: bytes) -> bool:
    """Whether an archive says that it has a Word document, whatever the name of its parts."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open("[Content_Types].xml") as stream:
            types = stream.read(MAX_TYPES_BYTES).lower()
    except (*NO_ARCHIVE, KeyError, EOFError, RuntimeError):
        return False
    return any(kind in types for kind in MAIN_TYPES)


def check_archive(content: bytes, filename: str, max_unzipped_bytes: int) -> None:
    """Raises UnreadableDocumentError for a file that is not a zip archive or claims to unpack to more."""
    if content.startswith(OLE_MAGIC):
        detail = "encrypted, or in the format before Word 2007; remove the password and save it as .docx"
        raise UnreadableDocumentError(filename, "invalid_file", detail)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except NO_ARCHIVE as error:
        detail = "not a Word file (no zip archive), or cut short; save it again as .docx"
        raise UnreadableDocumentError(filename, "invalid_file", detail) from error
    num_bytes = sum(entry.file_size for entry in entries)
    if num_bytes > max_unzipped_bytes or len(entries) > MAX_ENTRIES:
        detail = (
            f"{len(entries):,} parts, which unpack to {num_bytes:,} bytes; at most {MAX_ENTRIES:,} parts and "
            f"{max_unzipped_bytes:,} bytes are allowed; split the file"
        )
        raise UnreadableDocumentError(filename, "invalid_file", detail)
