"""Late interaction over stored token vectors: one view for each vector store and generation, which follows the log."""

from dataclasses import dataclass

from models.types import FloatArray, HalfArray, KeyArray, Scope


@dataclass(frozen=True)
class TokenScoreRequest:
    """Chunks of `scope` to score by MaxSim in the vector space `generation`.

    `query` is (n, dim) float16 unit vectors of the query's tokens, `weights` (n,) float32 their weights.
    """

    query: HalfArray
    weights: FloatArray
    keys: KeyArray
    generation: str
    scope: Scope
