"""How a search ranks: OpenAI's `ranking_options`, and what is ours beside them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.index.fusion import FusionMethod
from serve.pipelines.retrieve import Mode, RetrievalOptions


class HybridSearch(BaseModel):
    """How much each of the two searches counts where their rankings are merged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding_weight: float = Field(ge=0, le=1000)
    text_weight: float = Field(ge=0, le=1000)

    @model_validator(mode="after")
    def _one_counts(self) -> "HybridSearch":
        if not self.embedding_weight + self.text_weight:
            raise ValueError("embedding_weight or text_weight must be above 0")
        return self


class RankingOptions(BaseModel):
    """`ranker` none leaves the reranker out; ours: `fusion`, `diversity` (0 to 1) and `dedup`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ranker: Literal["auto", "default-2024-11-15", "none"] = "auto"
    score_threshold: float = Field(default=0.0, ge=0, le=1)
    hybrid_search: HybridSearch | None = None
    fusion: FusionMethod | None = None
    diversity: float = Field(default=0.0, ge=0, le=1)
    dedup: bool = True


def to_options(mode: Mode, ranking: RankingOptions | None) -> RetrievalOptions:
    ranking = ranking or RankingOptions()
    weights = ranking.hybrid_search
    return RetrievalOptions(
        mode=mode,
        rerank=ranking.ranker != "none",
        fusion=ranking.fusion,
        dense_weight=weights.embedding_weight if weights else None,
        lexical_weight=weights.text_weight if weights else None,
        score_threshold=ranking.score_threshold,
        diversity=ranking.diversity,
        dedup=ranking.dedup,
    )
