"""Markdown as a reader sees it, with commands and configuration verbatim.

The extracted text is the rendered text. Code and autolinks stay as they are; emphasis marks and link targets are
removed. In a generated reference, the targets are a quarter of the tokens, and no question needs them. The Markdown is
rendered to HTML and read as a page, so HTML inside it, and Markdown inside that, is read like any other.
"""

import re

import pyromark

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode
from models.documents.front_matter import split_front_matter
from models.documents.html_blocks import append_element, parse_html
from models.documents.html_names import literal_tags
from models.documents.options import NoOptions
from models.documents.text import clean

EXTENSIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_FOOTNOTES
    | pyromark.Options.ENABLE_HEADING_ATTRIBUTES
)
HEADING_ATTRIBUTES = re.compile(r"[ \t]*\{[#.:][^{}\n]*\}(?=</h[1-6]>)")  # kramdown's `# Title {: #anchor}`
FOOTNOTE_LABEL = re.compile(r'<sup class="footnote-definition-label">(\d+)</sup>\n(<p>)?')


class MarkdownParser:
    """A Parser of kind `markdown`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        """Never: the content alone does not tell Markdown from plain text."""
        return False

    def parse(self, content: bytes, filename: str) -> Document:
        """The rendered text. Front matter gives the title and is not part of the text."""
        decoded = decode(content, filename)
        front_matter = split_front_matter(clean(decoded.text).lstrip("\n"))
        builder = DocumentBuilder()
        builder.title, builder.doubt = front_matter.title, decoded.doubt
        builder.omit("fields of front matter", front_matter.num_fields)
        body = parse_html(_rendered(front_matter.body), filename).body
        if body is not None:
            append_element(body, builder, reads_images=True)
        return builder.build()


def _rendered(text: str) -> str:
    """The text as HTML. Time is linear, whatever the text."""
    page = literal_tags(pyromark.html(text, options=EXTENSIONS))
    return FOOTNOTE_LABEL.sub(r"\2\1. ", HEADING_ATTRIBUTES.sub("", page))
