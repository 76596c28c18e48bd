"""Forward passes that give token vectors too. Each is an Encoder of the token batcher.

Two of the same kind and model are equal, so their calls share passes. Queries and documents do not: a query needs the
vectors themselves, a document only their codes, which are a tenth of the size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.compute import passes_at_once
from models.embedding.base import TokenEmbedding, TokenEmbeddingModel
from models.index.token_codec import encode_tokens
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray


@dataclass(frozen=True)
class QueryPasses:
    """For each encoding, its vector and its token vectors."""

    model: TokenEmbeddingModel

    @property
    def passes_at_once(self) -> int | None:
        return passes_at_once(self.model)

    def forward(self, batch: Sequence[Encoding]) -> list[TokenEmbedding]:
        return self.model.forward_tokens(batch)


@dataclass(frozen=True)
class DocumentPasses:
    """For each encoding, its vector and the code of its token vectors.

    They are encoded after each pass: the token vectors of a document of 10,000 chunks would be 1.5 GB.
    """

    model: TokenEmbeddingModel

    @property
    def passes_at_once(self) -> int | None:
        return passes_at_once(self.model)

    def forward(self, batch: Sequence[Encoding]) -> list[tuple[FloatArray, bytes]]:
        return [
            (output.vector, encode_tokens(output.tokens, starts=output.starts))
            for output in self.model.forward_tokens(batch)
        ]
