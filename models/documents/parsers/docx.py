"""Word files (.docx): paragraphs, headings, lists, tables and notes in document order."""

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.office.package import BROKEN, WORD_TYPES, OfficePackage, check_archive, holds
from models.documents.signatures import ZIP, signature_of
from models.documents.word.reader import read_word
from models.errors.requests import UnreadableDocumentError


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
        return signature_of(content) is ZIP and holds(content, WORD_TYPES)

    def parse(self, content: bytes, filename: str) -> Document:
        """The text of a .docx. XML entities are never expanded."""
        check_archive(content, filename, self._config.max_unzipped_bytes)
        try:
            return read_word(OfficePackage(content, filename, self._config.max_xml_bytes))
        except BROKEN as error:
            detail = f"not a readable Word file ({type(error).__name__}); open it in Word and save it again as .docx"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
