"""Markdown to blocks, for the parsers of Markdown and of formats that embed it."""

import re

import pyromark

from models.documents.builder import DocumentBuilder
from models.documents.html_blocks import append_element, parse_html
from models.documents.html_names import literal_tags
from models.documents.markdown_tables import widen_tables

EXTENSIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_FOOTNOTES
    | pyromark.Options.ENABLE_HEADING_ATTRIBUTES
)
HEADING_ATTRIBUTES = re.compile(r"[ \t]*\{[#.:][^{}\n]*\}(?=</h[1-6]>)")  # kramdown's `# Title {: #anchor}`
FOOTNOTE_LABEL = re.compile(r'<sup class="footnote-definition-label">(\d+)</sup>\n(<p>)?')


def append_markdown(text: str, builder: DocumentBuilder, filename: str) -> None:
    """Add the blocks of a clean Markdown text. Raises UnreadableDocumentError if it is hostile."""
    body = parse_html(_rendered(text), filename).body
    if body is not None:
        append_element(body, builder, reads_images=True)


def _rendered(text: str) -> str:
    """The text as HTML. Time is linear, whatever the text."""
    page = literal_tags(pyromark.html(widen_tables(text, EXTENSIONS), options=EXTENSIONS))
    return FOOTNOTE_LABEL.sub(r"\2\1. ", HEADING_ATTRIBUTES.sub("", page))
