"""From a file's bytes to text and chunks in one call: what the Parser stage runs in a child process."""

from dataclasses import dataclass

from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.kinds import DocumentKinds
from models.documents.parse import parse
from models.tokens.text_tokenizer import Tokenizer
from models.types import ParsedFile


@dataclass(frozen=True)
class FileParser:
    """Parses and chunks files with `kinds`, or the built-in ones; `tokenizer` counts a chunk's tokens. Picklable."""

    tokenizer: Tokenizer
    kinds: DocumentKinds | None = None

    def __call__(self, content: bytes, filename: str, options: ChunkingOptions) -> ParsedFile:
        """Text and chunks of a file. Raises UnreadableDocumentError."""
        document = parse(content, filename, self.kinds)
        chunks = tuple(chunk(document, self.tokenizer, options, self.kinds))
        return ParsedFile(document.text, chunks, document.omissions, document.doubt)
