"""PowerPoint files (.pptx): each slide under its title, with its text, tables, charts and notes."""

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.office.package import BROKEN, POWERPOINT, SLIDE_TYPES, OfficePackage, check_archive, holds
from models.documents.signatures import ZIP, signature_of
from models.documents.slides.reader import read_slides
from models.errors.requests import UnreadableDocumentError


class PptxConfig(BaseModel):
    """An entry of kind `pptx`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_unzipped_bytes: int = Field(
        default=1024 * 2**20, ge=2**20, le=2**33, description="A file that claims to unpack to more bytes is refused."
    )
    max_xml_bytes: int = Field(
        default=64 * 2**20, ge=2**20, le=512 * 2**20, description="A file with more bytes of XML is refused."
    )


class PptxParser:
    """A Parser of kind `pptx`."""

    config_class = PptxConfig

    def __init__(self, name: str, config: PptxConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is ZIP and holds(content, SLIDE_TYPES)

    def parse(self, content: bytes, filename: str) -> Document:
        """The slides in order. XML entities are never expanded."""
        check_archive(content, filename, self._config.max_unzipped_bytes, POWERPOINT)
        try:
            return read_slides(OfficePackage(content, filename, self._config.max_xml_bytes))
        except BROKEN as error:
            detail = f"not a readable PowerPoint file ({type(error).__name__}); save it again as .pptx"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
