"""From a document to its chunks."""

from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.kinds import DocumentKinds, built_in_kinds
from models.tokens.text_tokenizer import Tokenizer
from models.types import Chunk


def chunk(
    document: Document, tokenizer: Tokenizer, options: ChunkingOptions, kinds: DocumentKinds | None = None
) -> list[Chunk]:
    """The document's chunks in order, cut by the chunker of `kinds`, or of the built-in catalog."""
    return (kinds or built_in_kinds()).chunker().chunk(document, tokenizer, options)
