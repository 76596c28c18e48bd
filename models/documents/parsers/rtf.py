"""RTF files: the text without control words."""

from models.documents.base import Document
from models.documents.options import NoOptions
from models.documents.rich_text.reader import read_rich_text
from models.documents.signatures import RTF, signature_of
from models.errors.requests import UnreadableDocumentError


class RtfParser:
    """A Parser of kind `rtf`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is RTF

    def parse(self, content: bytes, filename: str) -> Document:
        """Paragraphs, headings, lists and tables. Pictures and objects are counted."""
        if not self.recognizes(content):
            raise UnreadableDocumentError(filename, "invalid_file", "not an RTF file; save it again as .rtf")
        try:
            return read_rich_text(content)
        except ValueError as error:
            raise UnreadableDocumentError(filename, "invalid_file", f"not a readable RTF file: {error}") from error
