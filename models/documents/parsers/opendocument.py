"""OpenDocument files of LibreOffice and others: text (.odt), spreadsheets (.ods) and presentations (.odp)."""

import io
import zipfile

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.office.package import BROKEN, OfficeKind, OfficePackage, check_archive
from models.documents.opendocument.inline import read_formats
from models.documents.opendocument.names import name
from models.documents.opendocument.sheet import MAX_CELLS, append_sheets
from models.documents.opendocument.slides import append_slides
from models.documents.opendocument.text import TextReader
from models.documents.sheets.cells import TooManyCellsError
from models.documents.signatures import ZIP, signature_of
from models.documents.word.xml import Element
from models.errors.requests import UnreadableDocumentError

TYPE = b"application/vnd.oasis.opendocument."
LIBREOFFICE = OfficeKind("OpenDocument", ".odt, .ods or .odp")
SWITCHES = ("table:display", "presentation:visibility")


class OpenDocumentConfig(BaseModel):
    """An entry of kind `opendocument`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_unzipped_bytes: int = Field(
        default=1024 * 2**20, ge=2**20, le=2**33, description="A file that claims to unpack to more bytes is refused."
    )
    max_xml_bytes: int = Field(
        default=64 * 2**20, ge=2**20, le=512 * 2**20, description="A file with more bytes of XML is refused."
    )


class OpenDocumentParser:
    """A Parser of kind `opendocument`."""

    config_class = OpenDocumentConfig

    def __init__(self, name: str, config: OpenDocumentConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        if signature_of(content) is not ZIP:
            return False
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open("mimetype") as stream:
                return stream.read(len(TYPE)) == TYPE
        except BROKEN:
            return False

    def parse(self, content: bytes, filename: str) -> Document:
        """The text, sheets or slides in order. XML entities are never expanded."""
        check_archive(content, filename, self._config.max_unzipped_bytes, LIBREOFFICE)
        try:
            return _read(OfficePackage(content, filename, self._config.max_xml_bytes))
        except TooManyCellsError as error:
            detail = f"more than {MAX_CELLS:,} cells; split the file"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
        except (*BROKEN, StopIteration) as error:
            detail = f"not a readable OpenDocument file ({type(error).__name__}), or encrypted; save it again"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error


def _read(package: OfficePackage) -> Document:
    root, styles, properties = package.root("content.xml"), package.optional("styles.xml"), package.optional("meta.xml")
    builder = DocumentBuilder()
    title = None if properties is None else next(properties.iter(name("dc:title")), None)
    builder.title = "" if title is None else title.text or ""
    reader = TextReader(builder, read_formats(styles, root))
    hidden = _hidden_styles(root)
    body = next(root.iter(name("office:body")))
    for content_root in body.iterchildren():
        if content_root.tag == name("office:spreadsheet"):
            append_sheets(content_root, hidden, builder)
        elif content_root.tag == name("office:presentation"):
            append_slides(content_root, hidden, builder, reader)
        elif isinstance(content_root.tag, str):
            reader.blocks(content_root)
    return builder.build()


def _hidden_styles(root: Element) -> frozenset[str]:
    """The styles of sheets and slides that are not shown."""
    return frozenset(
        style.get(name("style:name")) or ""
        for style in root.iter(name("style:style"))
        for properties in style.iterchildren()
        if any(properties.get(name(switch)) in ("false", "hidden") for switch in SWITCHES)
    )
