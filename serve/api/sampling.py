"""Sampling options as requests carry them. The bounds are OpenAI's."""

from typing import Annotated

from pydantic import Field

from serve.pipelines.answering import Extra

DEFAULT_MAX_TOKENS = 512
MAX_STOPS = 4

ExtraOptions = Annotated[
    Extra,
    Field(
        description="refuse: an option that the serving model cannot follow is an error; ignore: it is left out. "
        "The extractive model follows no system message, sampling, stop text, schema or tool."
    ),
]
MaxTokens = Annotated[int, Field(ge=1, le=32_768, description="Longest answer, in tokens.")]
Temperature = Annotated[float, Field(ge=0, le=2, description="0 always takes the likeliest token.")]
TopP = Annotated[float, Field(gt=0, le=1, description="Sample from the likeliest tokens with this total probability.")]
