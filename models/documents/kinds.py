"""The parsers and the chunker that a catalog configures, each imported and built on first use."""

from functools import lru_cache
from pathlib import PurePath
from typing import Any

from models.catalog import Catalog
from models.documents.chunkers.base import Chunker, ChunkingOptions
from models.documents.parsers.base import Parser
from models.documents.readable import is_own, supported
from models.documents.signatures import ENCRYPTED, OLE, POWERPOINT_97, WORD_97, ZIP, signature_of
from models.errors.requests import UnreadableDocumentError

DEFAULT_CHUNKER = "structure"
CONFIGURED = ChunkingOptions()
# Cut, encrypted or old files: the parser of the extension says what is wrong with them.
EXPLAINED = (ZIP, OLE, ENCRYPTED, WORD_97, POWERPOINT_97)


class DocumentKinds:
    """A catalog's parsers, and its chunker with the alias `chunker`.

    It can be pickled: the copy builds parsers and a chunker of its own, so they may hold what cannot be pickled.
    """

    def __init__(self, catalog: Catalog, chunker: str = DEFAULT_CHUNKER) -> None:
        self._catalog, self._chunker_alias = catalog, chunker
        self._parsers: dict[str, Parser] = {}
        self._chunker: Chunker | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return DocumentKinds, (self._catalog, self._chunker_alias)

    def parser_for(self, content: bytes, filename: str) -> Parser:
        """The parser of the content, or of the file's extension where the content is text or of an unknown format.

        A parser of the user's own reads all files with its extensions. Of the others, the last in the catalog that
        recognizes the content is taken. Raises UnreadableDocumentError with reason unsupported_file without any.
        """
        alias = self._catalog.extensions().get(PurePath(filename).suffix.lower())
        signature = signature_of(content)
        if alias is not None and (signature is None or is_own(self._catalog, alias)):
            return self._parser(alias)
        names = ([] if alias is None else [alias]) + list(reversed(self._catalog.entries["parsing"]))
        for name in names:
            if self._parser(name).recognizes(content):
                return self._parser(name)
        if alias is not None and signature in EXPLAINED:
            return self._parser(alias)
        problem = "not a text file and of no known format" if signature is None else signature.name
        raise UnreadableDocumentError(filename, "unsupported_file", f"{problem}; {supported(self._catalog)}")

    def chunker(self, options: ChunkingOptions = CONFIGURED) -> Chunker:
        """The chunker of `options.strategy`, else the configured one. Raises ConfigError for an unknown name."""
        if options.strategy:
            chunker: Chunker = self._catalog.load("chunking", options.strategy, options.parameters)
            return chunker
        if self._chunker is None:
            self._chunker = self._catalog.load("chunking", self._chunker_alias)
        return self._chunker

    def _parser(self, alias: str) -> Parser:
        if alias not in self._parsers:
            self._parsers[alias] = self._catalog.load("parsing", alias)
        return self._parsers[alias]


@lru_cache(maxsize=1)
def built_in_kinds() -> DocumentKinds:
    """The parsers and the chunker of the built-in catalog."""
    return DocumentKinds(Catalog.open())
