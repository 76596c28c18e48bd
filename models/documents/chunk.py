"""From a document to its chunks."""

from models.documents.base import Document
from models.documents.chunkers.base import ChunkingOptions
from models.documents.kinds import DocumentKinds, built_in_kinds
from models.documents.locate import locate_chunks
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import Chunk


def chunk(
    document: Document, tokenizer: Tokenizer, options: ChunkingOptions, kinds: DocumentKinds | None = None
) -> list[Chunk]:
    """The document's chunks in order, cut by the chunker that the options name, or the configured one of `kinds`."""
    chunks = (kinds or built_in_kinds()).chunker(options).chunk(document, tokenizer, options)
    return locate_chunks(document, chunks)
