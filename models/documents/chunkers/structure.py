"""Cuts a document into chunks along headings, then paragraphs, then sentences, then tokens as a last resort."""

from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.chunkers.layout import Layout
from models.documents.chunkers.packing import cut_along_structure
from models.documents.options import NoOptions
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk


class StructureChunker:
    """A Chunker of kind `structure`."""

    config_class = NoOptions

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def chunk(self, document: Document, tokenizer: Tokenizer, options: ChunkingOptions) -> list[Chunk]:
        """The document's chunks in order. Together they contain all text except headings.

        A chunk stays inside one section. Tiny neighbours under one parent are joined. A chunk that begins in the rows
        of a table has the names of its columns in its context. Time and memory are linear in the text.
        """
        layout = Layout(document, tokenizer, options)
        return layout.chunks(cut_along_structure(layout, options))
