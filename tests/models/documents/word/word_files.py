"""Word files from pieces of their XML."""

import io
import re
import zipfile
from collections.abc import Mapping

from models.documents.base import Document
from models.documents.parse import parse
from models.documents.word.xml import NAMESPACES

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
DECLARATIONS = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
ROOTS = {
    "styles": "w:styles",
    "numbering": "w:numbering",
    "footnotes": "w:footnotes",
    "endnotes": "w:endnotes",
    "comments": "w:comments",
    "header": "w:hdr",
    "footer": "w:ftr",
}


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(content: str, properties: str = "") -> str:
    """A paragraph of runs, or of one run with this text."""
    content = content if content.startswith("<") else run(content)
    return f"<w:p><w:pPr>{properties}</w:pPr>{content}</w:p>"


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(text)}</w:tc>"


def table(*rows: list[str]) -> str:
    return "<w:tbl>" + "".join("<w:tr>" + "".join(row) + "</w:tr>" for row in rows) + "</w:tbl>"


def make_word(body: str, parts: Mapping[str, str] | None = None, main_part: str = "word/document.xml") -> bytes:
    """A Word file. `parts` maps kinds, such as `footnotes`, to the content of their root element."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml", f'<Types><Override PartName="/m" ContentType="{CONTENT_TYPE}"/></Types>'
        )
        archive.writestr("_rels/.rels", _relationships({"officeDocument": f"/{main_part}"}))
        archive.writestr(main_part, f"<w:document {DECLARATIONS}><w:body>{body}</w:body></w:document>")
        folder, _, base = main_part.rpartition("/")
        targets = {kind: f"{kind}.xml" for kind in parts or {}}
        archive.writestr(f"{folder}/_rels/{base}.rels", _relationships(targets))
        for kind, inner in (parts or {}).items():
            archive.writestr(f"{folder}/{kind}.xml", f"<{ROOTS[kind]} {DECLARATIONS}>{inner}</{ROOTS[kind]}>")
    return content.getvalue()


def read_body(body: str, parts: Mapping[str, str] | None = None) -> Document:
    return parse(make_word(body, parts), "a.docx")


def _relationships(targets: Mapping[str, str]) -> str:
    links = "".join(
        f'<Relationship Id="{re.sub("[^a-z]", "", kind)}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for kind, target in targets.items()
    )
    return f'<Relationships xmlns="{NAMESPACES["rel"]}">{links}</Relationships>'
