"""The options of a parser or chunker that has none."""

from pydantic import BaseModel, ConfigDict


class NoOptions(BaseModel):
    """An entry of a kind without options: every key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
