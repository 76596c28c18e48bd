"""EPUB books: chapters in reading order, each read like a page."""

import io
import zipfile

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode
from models.documents.epub.book import CONTAINER, read_book
from models.documents.html_blocks import HEADING_SELECTOR, append_element, parse_html
from models.documents.office.package import BROKEN, OfficeKind, OfficePackage, check_archive
from models.documents.signatures import ZIP, signature_of
from models.errors.requests import UnreadableDocumentError

UNREADABLE = "encrypted or broken chapters"
READER = OfficeKind("EPUB", ".epub")


class EpubConfig(BaseModel):
    """An entry of kind `epub`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_unzipped_bytes: int = Field(
        default=1024 * 2**20, ge=2**20, le=2**33, description="A file that claims to unpack to more bytes is refused."
    )
    max_text_bytes: int = Field(
        default=64 * 2**20, ge=2**20, le=512 * 2**20, description="A book whose pages have more bytes is refused."
    )


class EpubParser:
    """A Parser of kind `epub`."""

    config_class = EpubConfig

    def __init__(self, name: str, config: EpubConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        if signature_of(content) is not ZIP:
            return False
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return CONTAINER in archive.NameToInfo
        except BROKEN:
            return False

    def parse(self, content: bytes, filename: str) -> Document:
        """The chapters. One without a heading gets its name from the table of contents."""
        check_archive(content, filename, self._config.max_unzipped_bytes, READER)
        try:
            return _read(OfficePackage(content, filename, self._config.max_text_bytes), filename)
        except (*BROKEN, StopIteration) as error:
            reason = "a file that it names is missing" if isinstance(error, KeyError | StopIteration) else "damaged"
            detail = f"not a readable EPUB book ({reason}); export it again"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error


def _read(package: OfficePackage, filename: str) -> Document:
    book = read_book(package)
    builder = DocumentBuilder()
    builder.title = book.title
    for page_name in book.chapters:
        try:
            with package.stream(page_name) as stream:
                page = decode(stream.read(), filename, declares=True)
        except KeyError:
            builder.omit(UNREADABLE)
            continue
        except UnreadableDocumentError as error:
            if "unpacks to more" in error.detail:
                raise
            builder.omit(UNREADABLE)
            continue
        body = parse_html(page.text, filename).body
        if body is not None:
            if body.css_first(HEADING_SELECTOR) is None:
                builder.add("heading", book.names.get(page_name, ""), 1)
            append_element(body, builder)
    return builder.build()
