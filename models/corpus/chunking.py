"""The chunking strategy of a file or a vector store, as it is stored."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class Chunking:
    """A chunking strategy by its name, with size and overlap in tokens of the embedding model.

    `parameters` are the strategy's own, sorted by name.
    """

    max_tokens: int
    overlap_tokens: int
    strategy: str = "static"
    parameters: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"parameters": dict(self.parameters)}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> "Chunking":
        return Chunking(**stored | {"parameters": tuple(sorted(stored["parameters"].items()))})


class Inherited(Enum):
    """The type of INHERITED."""

    INHERITED = "inherited"


INHERITED = Inherited.INHERITED
# Of a file to attach: INHERITED keeps the file's own, or takes the store's for a file that is new in it. None is auto.
ChosenChunking = Chunking | Inherited | None
