"""Small real files of each format, built in memory."""

import io
import zipfile
from collections.abc import Mapping

import docx

ENCRYPTION = "/Filter /Standard /V 1 /R 2 /P -4 /O <" + "41" * 32 + "> /U <" + "42" * 32 + ">"


def make_pdf(pages: list[str], encrypted: bool = False) -> bytes:
    """A PDF whose pages hold these content streams, with Helvetica as /F1."""
    num_pages = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(num_pages))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {num_pages} /MediaBox [0 0 612 792] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, stream in enumerate(pages):
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R /Contents {5 + 2 * number} 0 R {resources} >>")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    encryption = f" /Encrypt << {ENCRYPTION} >> /ID [<{'43' * 16}> <{'43' * 16}>]" if encrypted else ""
    return with_cross_references(objects, encryption)


def with_cross_references(objects: list[str], encryption: str = "") -> bytes:
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    rows = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R{encryption} >>\nstartxref\n{len(body)}\n%%EOF"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{rows}{trailer}".encode("latin-1")


def text_at(x: float, y: float, text: str, size: float = 12) -> str:
    """The content stream of one line of text, its baseline beginning at (x, y) points from the lower left."""
    return f"BT /F1 {size} Tf {x} {y} Td ({text}) Tj ET\n"


def make_docx() -> bytes:
    """A Word file with a title, two levels of headings, a list, and a table between two paragraphs."""
    word = docx.Document()
    word.add_heading("Handbook", level=0)
    word.add_heading("Leave", level=1)
    word.add_paragraph("Leave is granted by the manager.")
    word.add_heading("Notice", level=2)
    word.add_paragraph("Tell two weeks ahead.", style="List Bullet")
    word.add_paragraph("Send the form.", style="List Bullet")
    table = word.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Days", "Grade", "30", "A"], strict=True):
        cell.text = text
    word.add_paragraph("After the table.")
    buffer = io.BytesIO()
    word.save(buffer)
    return buffer.getvalue()


def with_parts(archive: bytes, parts: Mapping[str, bytes]) -> bytes:
    """The same zip archive with these entries replaced or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, content in parts.items():
            new.writestr(name, content)
    return buffer.getvalue()


def part(archive: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.read(name)
