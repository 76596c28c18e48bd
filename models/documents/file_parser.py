"""From a file's bytes to text and chunks in one call: what the Parser stage runs in a child process."""

from dataclasses import dataclass, replace

from models.documents.base import Document
from models.documents.chunk import chunk
from models.documents.chunkers.base import ChunkingOptions
from models.documents.derived.attributes import derive
from models.documents.kinds import DocumentKinds
from models.documents.parse import parse
from models.documents.personal_data.masking import mask, mask_document
from models.enrichment.options import NO_ENRICHMENT, PLAIN, IngestOptions
from models.enrichment.sketch import sketch_of
from models.errors.requests import UnreadableDocumentError
from models.tokens.text_tokenizer import Tokenizer
from models.types.chunks import ParsedFile


@dataclass(frozen=True)
class FileParser:
    """Parses and chunks files with `kinds`, or the built-in ones; `tokenizer` counts a chunk's tokens. Picklable."""

    tokenizer: Tokenizer
    kinds: DocumentKinds | None = None

    def __call__(
        self, content: bytes, filename: str, chunking: ChunkingOptions, options: IngestOptions = PLAIN
    ) -> ParsedFile:
        """Text and chunks of a file. Personal data are masked before anything else sees them.

        Raises UnreadableDocumentError.
        """
        document, masked = mask_document(self._parse(content, filename, options), options.masked)
        chunks = tuple(chunk(document, self.tokenizer, chunking, self.kinds))
        enrichment = options.enrichment
        derived = {} if enrichment == NO_ENRICHMENT else derive(document, enrichment)
        sketch = b"" if enrichment.min_similarity is None else sketch_of(document.text)
        return ParsedFile(document.text, chunks, document.omissions, document.doubt, masked, derived, sketch)

    def _parse(self, content: bytes, filename: str, options: IngestOptions) -> Document:
        try:
            return replace(parse(content, filename, self.kinds), filename=filename)
        except UnreadableDocumentError as error:
            detail = mask(error.detail, options.masked).text  # it may quote the file
            raise UnreadableDocumentError(error.filename, error.reason, detail, error.cause) from None
