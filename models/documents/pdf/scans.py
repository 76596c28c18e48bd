"""Pages of a PDF that are images of text: what is recognized in them takes the place of their few letters."""

import ctypes

import pypdfium2
import pypdfium2.raw as pdfium

from models.documents.ocr.image import MAX_SIDE, with_margins
from models.documents.ocr.scan import Scan
from models.documents.pdf.hidden import MAX_OBJECTS
from models.documents.pdf.line import Line

MAX_LETTERS = 40  # of a scan's own text: a page number, or the name of the program that scanned it
MIN_IMAGE_FRACTION = 0.25  # of a page that has some letters
TOO_LARGE = "images of too many pixels"
PICTURES = (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_FORM)


def read_scan(page: pypdfium2.PdfPage, lines: list[Line], scan: Scan) -> list[Line]:
    """The page's lines: those recognized in its image if it is a scan, else `lines`."""
    num_letters = _num_letters(lines)
    if num_letters > MAX_LETTERS or not _is_drawn(page, num_letters):
        return lines
    if _max_pixels(page) > scan.config.max_pixels:
        scan.omitted[TOO_LARGE] += 1
        return lines
    if not scan.takes_page():
        return lines
    recognized = _recognized(page, scan)
    return recognized if _num_letters(recognized) >= num_letters else lines


def _recognized(page: pypdfium2.PdfPage, scan: Scan) -> list[Line]:
    width, height = page.get_size()
    if min(width, height) < 1:
        return []
    scale = MAX_SIDE / max(width, height)
    try:
        bitmap = page.render(scale=scale, draw_annots=False, may_draw_forms=False)
    except pypdfium2.PdfiumError:  # the page alone
        return []
    try:
        pixels = bitmap.to_numpy()
        if pixels.ndim == 2 or pixels.shape[2] == 1:
            pixels = pixels.reshape(pixels.shape[0], pixels.shape[1], 1).repeat(3, axis=2)
        return scan.read(with_margins(pixels[:, :, :3].copy()), 1 / scale)
    finally:
        bitmap.close()


def _num_letters(lines: list[Line]) -> int:
    return sum(character.isalnum() for line in lines for character in line.text)


def _is_drawn(page: pypdfium2.PdfPage, num_letters: int) -> bool:
    """Whether a page without text shows anything, or one with a few letters has a large picture."""
    kinds = [pdfium.FPDFPageObj_GetType(item) for item in _objects(page)]
    if not num_letters:
        return any(kind != pdfium.FPDF_PAGEOBJ_TEXT for kind in kinds)
    width, height = page.get_size()
    pictures = (item for kind, item in zip(kinds, _objects(page), strict=True) if kind in PICTURES)
    return any(_area(item) >= MIN_IMAGE_FRACTION * width * height for item in pictures)


def _objects(page: pypdfium2.PdfPage) -> list[pdfium.FPDF_PAGEOBJECT]:
    num_objects = min(pdfium.FPDFPage_CountObjects(page), MAX_OBJECTS)
    return [pdfium.FPDFPage_GetObject(page, number) for number in range(num_objects)]


def _area(item: pdfium.FPDF_PAGEOBJECT) -> float:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium.FPDFPageObj_GetBounds(item, left, bottom, right, top)
    return max(0.0, right.value - left.value) * max(0.0, top.value - bottom.value)


def _max_pixels(page: pypdfium2.PdfPage) -> int:
    """The pixels of the page's largest image."""
    largest = 0
    width, height = ctypes.c_uint(), ctypes.c_uint()
    for item in _objects(page):
        if pdfium.FPDFPageObj_GetType(item) == pdfium.FPDF_PAGEOBJ_IMAGE and pdfium.FPDFImageObj_GetImagePixelSize(
            item, width, height
        ):
            largest = max(largest, width.value * height.value)
    return largest
