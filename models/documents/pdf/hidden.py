"""Text of a PDF's page that no reader sees: drawn invisibly, white on white, too small, or outside the page."""

import ctypes
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

import pypdfium2
import pypdfium2.raw as pdfium

from models.documents.pdf.line import Line

MIN_POINTS = 1.0
WHITE = 250  # of 255; near white is as hard to see
MAX_OBJECTS = 50_000  # of a page that are looked at
# An image that covers so much of a page is a scan, and invisible text is what was recognized in it.
SCAN_FRACTION = 0.4

Box = tuple[float, float, float, float]  # left, bottom, right, top


class HiddenText:
    """Tells which characters of a page are hidden. The page's other objects are looked at only if that decides."""

    def __init__(self, page: pypdfium2.PdfPage, text_page: pypdfium2.PdfTextPage) -> None:
        self._page, self._text_page = page, text_page
        self._box: Box = page.get_cropbox()
        self._colors = [ctypes.c_uint() for _ in range(4)]
        self._are_hidden: dict[int | None, bool | None] = {}

    def hides(self, position: int) -> bool:
        """Whether a reader does not see the character at a position of the text page."""
        item = pdfium.FPDFText_GetTextObject(self._text_page, position)
        address = ctypes.addressof(item.contents) if item else None
        if address not in self._are_hidden:
            self._are_hidden[address] = self._is_hidden(item) if address else False
        is_hidden = self._are_hidden[address]
        return self._is_on_white(position) if is_hidden is None else is_hidden

    def omits(self, line: Line) -> bool:
        """Whether a line is too small to be read, or outside the page."""
        left, bottom, right, top = self._box
        is_outside = line.right < left or line.left > right or line.top < bottom or line.bottom > top
        return is_outside or line.height < MIN_POINTS

    def _is_hidden(self, item: pdfium.FPDF_PAGEOBJECT) -> bool | None:
        """Whether a text object is hidden; None for white text, which has a background or not."""
        mode = pdfium.FPDFTextObj_GetTextRenderMode(item)
        if mode == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE:
            return not self._is_recognized
        if mode != pdfium.FPDF_TEXTRENDERMODE_FILL or not pdfium.FPDFPageObj_GetFillColor(item, *self._colors):
            return False
        *colors, opacity = (color.value for color in self._colors)
        if opacity == 0:
            return True
        return None if min(colors) >= WHITE else False

    def _is_on_white(self, position: int) -> bool:
        left, right, bottom, top = (ctypes.c_double() for _ in range(4))
        pdfium.FPDFText_GetCharBox(self._text_page, position, left, right, bottom, top)
        box = (left.value, bottom.value, right.value, top.value)
        return not any(_area(_intersection(box, background)) > 0 for background in self._backgrounds)

    @cached_property
    def _is_recognized(self) -> bool:
        """Whether invisible text is the text layer of a scan: it is all there is, or an image covers the page."""
        kinds = [(pdfium.FPDFPageObj_GetType(item), item) for item in self._objects()]
        images = (_box(item) for kind, item in kinds if kind == pdfium.FPDF_PAGEOBJ_IMAGE)
        if any(_area(_intersection(image, self._box)) >= SCAN_FRACTION * _area(self._box) for image in images):
            return True
        texts = (item for kind, item in kinds if kind == pdfium.FPDF_PAGEOBJ_TEXT)
        invisible = pdfium.FPDF_TEXTRENDERMODE_INVISIBLE
        return all(pdfium.FPDFTextObj_GetTextRenderMode(item) == invisible for item in texts)

    @cached_property
    def _backgrounds(self) -> list[Box]:
        """The boxes of what may be behind white text. A form is taken as a whole."""
        return [_box(item) for item in self._objects() if self._may_be_dark(item)]

    def _may_be_dark(self, item: pdfium.FPDF_PAGEOBJECT) -> bool:
        kind = pdfium.FPDFPageObj_GetType(item)
        if kind == pdfium.FPDF_PAGEOBJ_PATH and pdfium.FPDFPageObj_GetFillColor(item, *self._colors):
            return min(color.value for color in self._colors[:3]) < WHITE
        return kind != pdfium.FPDF_PAGEOBJ_TEXT

    def _objects(self) -> Iterator[pdfium.FPDF_PAGEOBJECT]:
        numbers = range(pdfium.FPDFPage_CountObjects(self._page))
        return (pdfium.FPDFPage_GetObject(self._page, number) for number in islice(numbers, MAX_OBJECTS))


def _box(item: pdfium.FPDF_PAGEOBJECT) -> Box:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium.FPDFPageObj_GetBounds(item, left, bottom, right, top)
    return left.value, bottom.value, right.value, top.value


def _intersection(first: Box, second: Box) -> Box:
    left, bottom = max(first[0], second[0]), max(first[1], second[1])
    return left, bottom, max(left, min(first[2], second[2])), max(bottom, min(first[3], second[3]))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
