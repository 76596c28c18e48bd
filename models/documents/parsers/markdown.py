"""Markdown as a reader sees it, with commands and configuration verbatim.

The extracted text is the rendered text. Code and autolinks stay as they are; emphasis marks and link targets are
removed. In a generated reference, the targets are a quarter of the tokens, and no question needs them. The Markdown is
rendered to HTML and read as a page, so HTML inside it, and Markdown inside that, is read like any other.
"""

from dataclasses import replace

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode
from models.documents.front_matter import split_front_matter
from models.documents.markdown_blocks import EXTENSIONS, append_markdown
from models.documents.markdown_lines import markdown_anchors
from models.documents.markdown_tables import widen_tables
from models.documents.options import NoOptions
from models.documents.text import clean


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
        cleaned = clean(decoded.text)
        front_matter = split_front_matter(cleaned.lstrip("\n"))
        builder = DocumentBuilder()
        builder.title, builder.doubt = front_matter.title, decoded.doubt
        builder.omit("fields of front matter", front_matter.num_fields)
        body = widen_tables(front_matter.body, EXTENSIONS)
        append_markdown(body, builder, filename)
        first_line = 1 + cleaned.count("\n", 0, len(cleaned) - len(front_matter.body))
        document = builder.build()
        return replace(document, anchors=markdown_anchors(document, body, first_line, EXTENSIONS))
