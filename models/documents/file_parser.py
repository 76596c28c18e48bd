"""A file's bytes to text and chunks, in one call: what the Parser stage runs in a child process."""

from dataclasses import dataclass

from models.documents.chunk import ChunkingOptions, chunk
from models.documents.parse import parse
from models.documents.tokenizer import Tokenizer
from models.types import ParsedFile


@dataclass(frozen=True)
class FileParser:
    """Parses and chunks files; `tokenizer` counts the tokens of a chunk. Can be pickled."""

    tokenizer: Tokenizer

    def __call__(self, content: bytes, filename: str, options: ChunkingOptions) -> ParsedFile:
        """Text and chunks of a file. Raises UnreadableDocumentError."""
        document = parse(content, filename)
        return ParsedFile(document.text, tuple(chunk(document, self.tokenizer, options)))
