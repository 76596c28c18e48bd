"""The settings of memory."""

from pydantic import BaseModel, ConfigDict, Field


class MemoryConfig(BaseModel):
    """What a conversation remembers, and facts about users. They may change while the application serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_messages: int = Field(
        default=40,
        ge=2,
        le=10_000,
        description="The last messages of a stored conversation, which a language model reads as they are.",
    )
    recalled: int = Field(
        default=3,
        ge=0,
        le=20,
        description="Exchanges before the window that are recalled for a question; 0: none, and no cut at the window.",
    )
    user_facts: bool = Field(
        default=False, description="Whether requests with `remember` may keep and use facts about their user."
    )
    model: str | None = Field(
        default=None,
        description="A language model that the Generator serves, for the summary of what left the window. None: none.",
    )
    budget_s: float = Field(
        default=5.0, gt=0, le=60, description="Time for a summary, in seconds; then the earlier one stays."
    )
    summary_every: int = Field(
        default=10, ge=1, le=1_000, description="Messages that leave the window before the summary is written again."
    )
