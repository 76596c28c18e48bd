"""What is done to understand a question before it is searched, each step by config and by request."""

from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


@dataclass(frozen=True)
class Understanding:
    """The choices of one request; None leaves the configured default.

    decomposition: a compound question is answered in parts. multi_query: other wordings are searched too. hyde: a
    passage that a language model makes up is searched too. filters: those that stand in the question.
    """

    decomposition: bool | None = None
    multi_query: bool | None = None
    hyde: bool | None = None
    filters: bool | None = None


NO_UNDERSTANDING = Understanding(False, False, False, False)


class UnderstandingConfig(BaseModel):
    """How questions are understood; a request may choose otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decomposition: bool | None = Field(
        default=None,
        description="Answer a compound question in its parts. null: where the model only quotes.",
    )
    multi_query: bool = Field(
        default=False, description="Search other wordings of a question too; without a model, its keywords."
    )
    hyde: bool = Field(default=False, description="Search a made-up answer too. Needs a model.")
    filters: bool = Field(
        default=False, description="Search only files whose attribute value or name stands in the question."
    )
    model: str | None = Field(
        default=None,
        description="A language model that the Generator serves: its model, its canary or an adapter. None: rules.",
    )
    budget_s: float = Field(
        default=2.0, gt=0, le=60, description="Time for the language model at each step, in seconds; then rules count."
    )
    max_parts: int = Field(default=5, ge=2, le=10, description="Most parts of a compound question.")
    num_variants: int = Field(default=2, ge=1, le=5, description="Other wordings that a model writes.")

    @model_validator(mode="after")
    def _has_model(self) -> Self:
        if self.hyde and self.model is None:
            raise ValueError("hyde needs a language model: set understanding.model")
        return self


def is_chosen(requested: bool | None, configured: bool) -> bool:
    return configured if requested is None else requested
