"""PDF pages with more than lines of text: annotations, colours and pictures."""

from collections.abc import Sequence

from models.documents.base import Document
from models.documents.parse import parse
from tests.models.documents.document_files import text_at, with_cross_references

PICTURE = (
    "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\n"
    "stream\n0\nendstream"
)


def make_page(stream: str, annotations: Sequence[str] = ()) -> bytes:
    """A PDF of one page of 612 x 792 points, with Helvetica as /F1 and a picture as /I1. Annotations are fields too."""
    numbers = " ".join(f"{7 + place} 0 R" for place in range(len(annotations)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{numbers}] /DA (/F1 12 Tf) >> >>",
        "<< /Type /Pages /Kids [4 0 R] /Count 1 /MediaBox [0 0 612 792] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Annots [" + numbers + "]"
        " /Resources << /Font << /F1 3 0 R >> /XObject << /I1 6 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        PICTURE,
        *(f"<< /Type /Annot {annotation} >>" for annotation in annotations),
    ]
    return with_cross_references(objects)


def read_page(stream: str, annotations: Sequence[str] = ()) -> Document:
    return parse(make_page(stream, annotations), "a.pdf")


def field_at(x: int, y: int, keys: str, flags: int = 4) -> str:
    """A form field of 120 x 18 points whose lower left corner is at (x, y)."""
    return f"/Subtype /Widget /Rect [{x} {y} {x + 120} {y + 18}] /F {flags} {keys}"


def lines_at(x: float, top: float, lines: Sequence[str]) -> str:
    """Lines of a paragraph, 14 points apart."""
    return "".join(text_at(x, top - 14 * row, line) for row, line in enumerate(lines))
