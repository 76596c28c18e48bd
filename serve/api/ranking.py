"""How a search ranks: OpenAI's `ranking_options`, with our own additions."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.index.fusion import FusionMethod
from serve.api.understanding import SearchUnderstanding, understood
from serve.pipelines.retrieving import Degrade, Mode, RetrievalOptions

DEFAULT_NUM_RESULTS = 5
NumResults = Annotated[int, Field(ge=1, le=50)]
SearchMode = Annotated[
    Mode,
    Field(
        description="dense: by embedding; lexical: by keyword; hybrid: both; "
        "auto: keyword search alone for identifiers and quoted phrases, otherwise both."
    ),
]


class HybridSearch(BaseModel):
    """The weights of dense search and keyword search where their rankings are fused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embedding_weight: float = Field(ge=0, le=1000)
    text_weight: float = Field(ge=0, le=1000)

    @model_validator(mode="after")
    def _has_weight(self) -> "HybridSearch":
        if not self.embedding_weight + self.text_weight:
            raise ValueError("embedding_weight or text_weight must be above 0")
        return self


class RankingOptions(BaseModel):
    """OpenAI's ranking options. `fusion`, `diversity` and `dedup` are our own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ranker: Literal["auto", "default-2024-11-15", "none"] = Field(default="auto", description="none: do not rerank.")
    score_threshold: float = Field(default=0.0, ge=0, le=1, description="Drop passages with a lower score.")
    hybrid_search: HybridSearch | None = None
    fusion: FusionMethod | None = Field(default=None, description="How the two rankings are fused.")
    diversity: float = Field(default=0.0, ge=0, le=1, description="Above 0, passages that repeat others rank lower.")
    dedup: bool = Field(default=True, description="Drop passages that nearly repeat a better one.")


DegradeOption = Annotated[
    Degrade,
    Field(description="never: a 503 in place of a result that lacks the work of a stage; `degraded` is then empty."),
]


def to_options(
    mode: Mode,
    ranking: RankingOptions | None,
    understanding: SearchUnderstanding | None = None,
    degrade: Degrade = "allow",
) -> RetrievalOptions:
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
        understanding=understood(understanding),
        degrade=degrade,
    )
