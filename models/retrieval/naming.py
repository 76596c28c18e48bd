"""What names the file that a passage is from: the file's name, its attributes, and its beginning.

Of five contracts from one template, a clause has no name of a customer. The beginning of its file has.
"""

from collections.abc import Iterator, Sequence

from models.filters import Attributes
from models.types.chunks import Passage

HEAD_CHARS = 300  # where the parties, the release or the year of a document stand


def names_of(passages: Sequence[Passage]) -> list[str]:
    """The names of each passage's file, as one text. A beginning counts if it is among the passages."""
    heads: dict[str, str] = {}
    for passage in passages:
        if passage.start < HEAD_CHARS:
            heads.setdefault(passage.file_id, passage.text[: 2 * HEAD_CHARS])
    words = ([passage.filename, *_values(passage.attributes), heads.get(passage.file_id, "")] for passage in passages)
    return [" ".join(filter(None, names)).replace("_", " ") for names in words]


def _values(attributes: Attributes) -> Iterator[str]:
    """Texts and numbers. A keyword of a file does not name it."""
    for key, value in attributes.items():
        if not isinstance(value, bool) and not key.startswith("auto.keyword"):
            yield str(value)
