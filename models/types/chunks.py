"""Pieces of a file's text: as they are cut, and as a search returns them."""

from dataclasses import dataclass, field

from models.filters import Attributes
from models.location import Location, locate


def indexed_text(context: str, text: str) -> str:
    """Return the text of a chunk for embedding, keyword search and reranking: its headings, then its text."""
    return f"{context}\n{text}" if context else text


@dataclass(frozen=True)
class Passage:
    """A chunk as a search returns it. `text` is characters `start` to `end` of the file's extracted text.

    `attributes` are the file's. `source_map` says where its parts stand in the file (models/location.py); empty if that
    is unknown. `shown`: see Chunk.
    """

    key: int
    chunk_id: str
    file_id: str
    filename: str
    text: str
    start: int
    end: int
    context: str = ""
    attributes: Attributes = field(default_factory=dict)
    score: float = 0.0
    source_map: str = ""
    shown: tuple[int, int] | None = None

    @property
    def is_from_file(self) -> bool:
        """Whether it is a stored chunk. The context of a request and what is remembered have no positive key."""
        return self.key > 0

    @property
    def indexed_text(self) -> str:
        return indexed_text(self.context, self.text)

    def scored(self, score: float) -> "Passage":
        """Return a copy with another score. Takes a third of the time of dataclasses.replace, for every candidate."""
        place = (self.key, self.chunk_id, self.file_id, self.filename, self.text, self.start, self.end)
        return Passage(*place, self.context, self.attributes, score, self.source_map, self.shown)

    def location_of(self, start: int, end: int) -> Location | None:
        """Where characters `start` to `end` of the file's extracted text stand in the file. None: unknown."""
        return locate(self.source_map, self.text, self.start, start, end)

    @property
    def location(self) -> Location | None:
        """Where the passage stands in the file: its page, slide, rows or lines. None: unknown."""
        return self.location_of(self.start, self.end)


@dataclass(frozen=True)
class Chunk:
    """A piece of a file's extracted text, before it is stored: `text == document.text[start:end]`.

    `context` is the title and headings above it, outermost first, joined by " > ", and the names of the columns if it
    begins in the rows of a table. `num_tokens` counts the embedding model's tokens in `text`, without special tokens.
    `source_map` is as in Passage; models/documents/locate.py sets it.
    `shown`: the characters, start and end, that a search shows in place of the chunk; None for the chunk itself.
    """

    text: str
    start: int
    end: int
    context: str
    num_tokens: int
    shown: tuple[int, int] | None = None
    source_map: str = ""

    @property
    def indexed_text(self) -> str:
        return indexed_text(self.context, self.text)


@dataclass(frozen=True)
class ParsedFile:
    """A file's extracted text and its chunks, in order.

    `omissions` counts what the parser left out on purpose, by its name in the plural: ("hidden passages", 2). `doubt`
    says why the text may be wrong, "" if nothing speaks against it. On request of the vector store: `masked` counts the
    masked pieces of personal data by kind, `derived` has the attributes that the text tells, and `sketch` finds
    near-duplicates (models/enrichment/sketch.py).
    """

    text: str
    chunks: tuple[Chunk, ...]
    omissions: tuple[tuple[str, int], ...] = ()
    doubt: str = ""
    masked: tuple[tuple[str, int], ...] = ()
    derived: Attributes = field(default_factory=dict)
    sketch: bytes = b""
