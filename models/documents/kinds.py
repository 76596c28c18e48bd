"""The parsers and the chunker that a catalog configures, each imported and built on first use."""

from functools import lru_cache
from pathlib import PurePath
from typing import Any

from models.catalog import Catalog
from models.documents.chunkers.base import Chunker
from models.documents.parsers.base import Parser
from models.errors import UnreadableDocumentError

DEFAULT_CHUNKER = "structure"


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
        """The parser of the file's extension, else the last one in the catalog that recognizes the content.

        Raises UnreadableDocumentError with reason unsupported_file if there is none.
        """
        aliases = self._catalog.extensions()
        alias = aliases.get(PurePath(filename).suffix.lower())
        if alias is not None:
            return self._parser(alias)
        for candidate in reversed(self._catalog.entries["parsing"]):
            if self._parser(candidate).recognizes(content):
                return self._parser(candidate)
        detail = f"not a text file and of no known format; supported are {', '.join(sorted(aliases))}"
        raise UnreadableDocumentError(filename, "unsupported_file", detail)

    def chunker(self) -> Chunker:
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
