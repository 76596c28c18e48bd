"""Jupyter notebooks: Markdown, code, and the text of outputs, without images."""

import json
from collections.abc import Iterator
from typing import Any

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode
from models.documents.html_blocks import append_html
from models.documents.markdown_blocks import append_markdown
from models.documents.options import NoOptions
from models.documents.signatures import NOTEBOOK, signature_of
from models.documents.text import clean
from models.errors.requests import UnreadableDocumentError

IMAGES = "images"


class NotebookParser:
    """A Parser of kind `notebook`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is NOTEBOOK

    def parse(self, content: bytes, filename: str) -> Document:
        """The cells in order, each followed by its outputs."""
        decoded = decode(content, filename)
        try:
            notebook = json.loads(decoded.text)
        except ValueError as error:
            detail = f"not a readable notebook ({error}); save it again in Jupyter"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error
        builder = DocumentBuilder()
        for cell in _cells(notebook):
            _append_cell(cell, builder, filename)
        return builder.build()


def _cells(notebook: Any) -> Iterator[dict[str, Any]]:
    """The cells; before version 4 they are in worksheets. What is no cell is skipped."""
    outer = notebook if isinstance(notebook, dict) else {}
    sheets = [outer, *_objects(outer.get("worksheets"))]
    return (cell for sheet in sheets for cell in _objects(sheet.get("cells")))


def _append_cell(cell: dict[str, Any], builder: DocumentBuilder, filename: str) -> None:
    source = _text(cell.get("source", cell.get("input")))
    kind = cell.get("cell_type")
    if kind == "markdown":
        append_markdown(clean(source), builder, filename)
    elif kind == "heading":
        level = cell.get("level")
        builder.add("heading", source, level if isinstance(level, int) and 1 <= level <= 6 else 1)
    else:
        builder.add("code", source)
    for output in _objects(cell.get("outputs")):
        _append_output(output, builder, filename)


def _append_output(output: dict[str, Any], builder: DocumentBuilder, filename: str) -> None:
    if output.get("output_type") in ("error", "pyerr"):
        builder.add("code", f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}")
        return
    data = output.get("data")
    forms = data if isinstance(data, dict) else output
    builder.omit(IMAGES, any(str(name).startswith("image/") or name in ("png", "jpeg", "svg") for name in forms))
    page = _text(forms.get("text/html", forms.get("html")))
    text = _text(forms.get("text/plain", forms.get("text")))
    if "<table" in page:
        append_html(page, builder, filename)
    elif markdown := _text(forms.get("text/markdown")):
        append_markdown(clean(markdown), builder, filename)
    elif text:
        builder.add("code", text)
    elif page:
        append_html(page, builder, filename)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """A string, or the lines that notebooks split it into."""
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""
