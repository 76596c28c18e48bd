"""Images (PNG, JPEG, TIFF, WebP, BMP): the text that is recognized in them, page by page."""

from collections import Counter
from dataclasses import replace

from PIL import Image
from pydantic import BaseModel, ConfigDict

from models.documents.base import Document
from models.documents.ocr.config import OcrConfig
from models.documents.ocr.image import num_pages, open_image, read_page
from models.documents.ocr.scan import BEYOND_LIMIT, Scan
from models.documents.parsers.pdf_layout import build_document
from models.documents.pdf.line import Line
from models.documents.signatures import signature_of
from models.errors.requests import UnreadableDocumentError

PAGE_POINTS = 842.0  # the longer side of a sheet of A4
WITHOUT_TEXT = "images without text"


class ImageConfig(BaseModel):
    """An entry of kind `image`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ocr: OcrConfig = OcrConfig()


class ImageParser:
    """A Parser of kind `image`. The first image loads the models of recognition."""

    config_class = ImageConfig

    def __init__(self, name: str, config: ImageConfig) -> None:
        self._config = config.ocr

    def recognizes(self, content: bytes) -> bool:
        signature = signature_of(content)
        return signature is not None and signature.is_image

    def parse(self, content: bytes, filename: str) -> Document:
        """The recognized text. An image without text gives a document without blocks."""
        if self._config.problem:
            raise UnreadableDocumentError(filename, "unsupported_file", f"an image; {self._config.problem}")
        scan = Scan(self._config)
        image = open_image(content, filename, self._config.max_pixels)
        pages = [self._page(image, number, filename, scan) for number in range(num_pages(image, filename))]
        omitted = Counter(scan.omitted)
        if not any(pages):
            omitted[WITHOUT_TEXT] += not omitted[BEYOND_LIMIT]
            return Document("", (), omissions=tuple(sorted((+omitted).items())))
        document = build_document("", pages, omitted)
        return replace(document, doubt=scan.doubt)

    def _page(self, image: Image.Image, number: int, filename: str, scan: Scan) -> list[Line]:
        if not scan.takes_page():
            return []
        pixels = read_page(image, number, filename, self._config.max_pixels)
        return scan.read(pixels, PAGE_POINTS / max(pixels.shape[:2]))
