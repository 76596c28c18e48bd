"""Word files (.docx): paragraphs, headings, lists, tables and notes in document order."""

import zipfile
import zlib

from lxml import etree
from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.word.package import WordPackage, check_archive, holds_word_document
from models.documents.word.reader import read_word
from models.errors import UnreadableDocumentError

# What files with flipped bytes and missing parts raise. An encrypted entry is a RuntimeError, an unknown compression a
# NotImplementedError (its subclass).
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, etree.LxmlError, EOFError, OSError),
    *(KeyError, ValueError, RuntimeError, AttributeError, TypeError, IndexError),
)


class DocxConfig(BaseModel):
    """An entry of kind `docx`. zipfile reads no further than the sizes that the archive claims."""

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
        description="A file with more bytes of XML is refused: 32 MiB are about 3,000 pages. Parsing takes some "
        "twenty times as much memory.",
    )


class DocxParser:
    """A Parser of kind `docx`."""

    config_class = DocxConfig

    def __init__(self, name: str, config: DocxConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        return content.startswith(b"PK\x03\x04") and holds_word_document(content)

    def parse(self, content: bytes, filename: str) -> Document:
        """The text of a .docx. XML entities are never expanded."""
        check_archive(content, filename, self._config.max_unzipped_bytes)
        try:
            return read_word(WordPackage(content, filename, self._config.max_xml_bytes))
        except BROKEN as error:
            detail = f"not a readable Word file ({type(error).__name__}); open it in Word and save it again as .docx"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
