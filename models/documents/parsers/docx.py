"""Word files (.docx): paragraphs, headings, lists and tables in document order."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator

import docx
from docx.document import Document as WordDocument
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml.ns import qn
from docx.oxml.xmlchemy import BaseOxmlElement
from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import MAX_HEADING_LEVEL, Document
from models.documents.builder import DocumentBuilder
from models.documents.text import one_line
from models.errors import UnreadableDocumentError

MAX_ENTRIES = 10_000
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

PARAGRAPH, TABLE, ROW, CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
# In properties, tabs are settings. Deleted and moved text is not text. Fallback repeats the text of a text box.
SKIPPED = frozenset(
    [
        *(qn("w:pPr"), qn("w:rPr"), qn("w:del"), qn("w:moveFrom"), qn("w:sectPr")),
        "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
    ]
)
BREAKS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-", PARAGRAPH: "\n"}
HEADING_STYLE = re.compile(r"heading ([1-9])$", re.IGNORECASE)
MAX_STYLE_PARENTS = 20  # styles may refer to each other in a circle

NO_ARCHIVE = (zipfile.BadZipFile, NotImplementedError, ValueError, OSError)
# Errors of python-docx and lxml on files with flipped bytes and missing parts. lxml's XMLSyntaxError is a
# SyntaxError; an encrypted entry is a RuntimeError, an unknown compression a NotImplementedError (its subclass).
BROKEN = (
    *(PackageNotFoundError, zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(SyntaxError, KeyError, ValueError, AttributeError, TypeError, IndexError, RuntimeError),
)


class DocxConfig(BaseModel):
    """An entry of kind `docx`. Sizes are those that the archive claims; zipfile reads no further than them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_unzipped_bytes: int = Field(
        default=256 * 2**20,
        ge=2**20,
        le=512 * 2**20,
        description="A file that unpacks to more bytes, images included, is refused. Word itself stops at 512 MB.",
    )
    max_xml_bytes: int = Field(
        default=32 * 2**20,
        ge=2**20,
        le=512 * 2**20,
        description="A file with more bytes of XML is refused: 32 MiB are about 3,000 pages. Parsing takes some twenty "
        "times as much memory.",
    )


class DocxParser:
    """A Parser of kind `docx`."""

    config_class = DocxConfig

    def __init__(self, name: str, config: DocxConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        return content.startswith(b"PK\x03\x04") and _holds_word_document(content)

    def parse(self, content: bytes, filename: str) -> Document:
        """The text of a .docx. XML entities are never expanded (python-docx parses with resolve_entities=False)."""
        _check_archive(content, filename, self._config)
        try:
            word = docx.Document(io.BytesIO(content))
            return _Reader(word).read()
        except BROKEN as error:
            detail = f"not a readable Word file ({type(error).__name__}); open it in Word and save it again as .docx"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error


def _holds_word_document(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.startswith("word/document") for name in archive.namelist())
    except NO_ARCHIVE:
        return False


def _check_archive(content: bytes, filename: str, limits: DocxConfig) -> None:
    """Raises UnreadableDocumentError for a file that is not a zip archive or unpacks to more than the limits."""
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
    num_xml_bytes = sum(entry.file_size for entry in entries if entry.filename.lower().endswith((".xml", ".rels")))
    too_large = num_bytes > limits.max_unzipped_bytes or num_xml_bytes > limits.max_xml_bytes
    if too_large or len(entries) > MAX_ENTRIES:
        detail = (
            f"unpacks to {num_bytes:,} bytes, {num_xml_bytes:,} of them XML; at most {limits.max_unzipped_bytes:,} and "
            f"{limits.max_xml_bytes:,} are allowed; split the file"
        )
        raise UnreadableDocumentError(filename, "invalid_file", detail)


class _Reader:
    def __init__(self, word: WordDocument) -> None:
        self._builder = DocumentBuilder()
        self._builder.title = word.core_properties.title or ""
        self._body = word.element.body
        self._styles = {style.get(qn("w:styleId")): style for style in word.styles.element.iter(qn("w:style"))}

    def read(self) -> Document:
        for element in _top_level(self._body):
            if element.tag == PARAGRAPH:
                self._paragraph(element)
            else:
                rows = (" | ".join(map(_cell_text, _children(row, CELL))) for row in _children(element, ROW))
                self._builder.add("table", "\n".join(row.rstrip(" |") for row in rows))
        return self._builder.build()

    def _paragraph(self, paragraph: BaseOxmlElement) -> None:
        text = _text(paragraph)
        style_names = [_value(style, "w:name").lower() for style in self._styles_of(paragraph)]
        level = self._heading_level(paragraph, style_names)
        if "title" in style_names and text.strip():
            self._builder.title = text
        list_depth = self._list_depth(paragraph)
        if level:
            self._builder.add("heading", one_line(text), level)
        elif list_depth is not None and text.strip():
            self._builder.add("list_item", "- " + text.strip(), indent=2 * list_depth)
        else:
            self._builder.add("paragraph", text)

    def _heading_level(self, paragraph: BaseOxmlElement, style_names: list[str]) -> int:
        """1 to 6, or 0 for a paragraph that is not a heading: by the names of its styles, else by outline level."""
        if "title" in style_names:
            return 1
        for match in filter(None, map(HEADING_STYLE.match, style_names)):
            return min(int(match.group(1)), MAX_HEADING_LEVEL)
        for element in (paragraph, *self._styles_of(paragraph)):
            outline = _value(element, "w:pPr/w:outlineLvl")
            if outline.isdecimal():
                return int(outline) + 1 if int(outline) < MAX_HEADING_LEVEL else 0
        return 0

    def _list_depth(self, paragraph: BaseOxmlElement) -> int | None:
        """0 for an item of an outermost list, None for a paragraph outside lists. numId 0 means no list."""
        for element in (paragraph, *self._styles_of(paragraph)):
            number = _value(element, "w:pPr/w:numPr/w:numId")
            if number:
                depth = _value(element, "w:pPr/w:numPr/w:ilvl")
                return None if number == "0" else min(int(depth), 8) if depth.isdecimal() else 0
        return None

    def _styles_of(self, paragraph: BaseOxmlElement) -> list[BaseOxmlElement]:
        """The paragraph's style and the styles that it is based on, nearest first."""
        styles: list[BaseOxmlElement] = []
        style = self._styles.get(_value(paragraph, "w:pPr/w:pStyle"))
        while style is not None and len(styles) < MAX_STYLE_PARENTS:
            styles.append(style)
            style = self._styles.get(_value(style, "w:basedOn"))
        return styles


def _top_level(body: BaseOxmlElement) -> Iterator[BaseOxmlElement]:
    """Paragraphs and tables in order, also inside content controls (w:sdt), which python-docx omits."""
    stack = [body]
    while stack:
        element = stack.pop()
        if element.tag in (PARAGRAPH, TABLE):
            yield element
        elif element.tag not in SKIPPED:
            stack.extend(reversed(element))


def _children(parent: BaseOxmlElement, tag: str) -> Iterator[BaseOxmlElement]:
    """Rows of a table or cells of a row, also inside content controls, but not those of nested tables."""
    stack = list(reversed(parent))
    while stack:
        element = stack.pop()
        if element.tag == tag:
            yield element
        elif element.tag not in SKIPPED:
            stack.extend(reversed(element))


def _cell_text(cell: BaseOxmlElement) -> str:
    return one_line(_text(cell))


def _text(root: BaseOxmlElement) -> str:
    parts: list[str] = []
    stack = [root]
    while stack:
        element = stack.pop()
        if element.tag in SKIPPED:
            continue
        parts.append(element.text or "" if element.tag == qn("w:t") else BREAKS.get(element.tag, ""))
        stack.extend(reversed(element))
    return "".join(parts)


def _value(element: BaseOxmlElement, path: str) -> str:
    """The w:val of the element at `path`, or "" if there is none."""
    child = element.find("/".join(qn(tag) for tag in path.split("/")))
    return "" if child is None else child.get(qn("w:val")) or ""
