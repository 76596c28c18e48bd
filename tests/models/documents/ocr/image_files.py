"""Images of text, drawn with the font that Pillow carries."""

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tests.models.documents.document_files import with_cross_references


def draw_lines(lines: Sequence[str], width: int = 560, size: int = 24, mode: str = "RGB") -> Image.Image:
    """Black lines on white, each in a row of its own."""
    image = Image.new("RGB", (width, 40 + len(lines) * 2 * size), "white")
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        pen.text((20, 20 + row * 2 * size), line, fill="black", font=ImageFont.load_default(size))
    return image.convert(mode)


def draw_page(lines: Sequence[str]) -> Image.Image:
    """The lines on a sheet of paper at 100 dpi."""
    page = Image.new("RGB", (850, 1100), "white")
    page.paste(draw_lines(lines), (60, 80))
    return page


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def scanned_pdf(pages: Sequence[Image.Image | str]) -> bytes:
    """A PDF whose pages are images, or content streams with text, with Helvetica as /F1."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in pages:
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        stream = page if isinstance(page, str) else "q 612 0 0 792 0 0 cm /I Do Q"
        resources = f"/Font << /F1 3 0 R >> /XObject << /I {number + 2} 0 R >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number + 1} 0 R"
            f" /Resources << {resources} >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append("null" if isinstance(page, str) else _image_object(page))
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    return with_cross_references(objects)


def _image_object(image: Image.Image) -> str:
    content = encoded(image.convert("L"), "JPEG").decode("latin-1")
    return (
        f"<< /Type /XObject /Subtype /Image /Width {image.width} /Height {image.height} /ColorSpace /DeviceGray"
        f" /BitsPerComponent 8 /Filter /DCTDecode /Length {len(content)} >>\nstream\n{content}\nendstream"
    )
