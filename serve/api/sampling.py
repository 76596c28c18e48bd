"""Sampling options as requests carry them. The bounds are OpenAI's."""

from typing import Annotated

from pydantic import Field

from models.answer_form import ResponseMode
from serve.pipelines.answering import Extra, Grounded
from serve.pipelines.formed_answering import AnswerLength, LanguageTag

DEFAULT_MAX_TOKENS = 512
MAX_STOPS = 4

ExtraOptions = Annotated[
    Extra,
    Field(
        description="refuse: an option that the serving model cannot follow is an error; ignore: it is left out. "
        "The extractive model follows no system message, sampling, stop text, schema or tool."
    ),
]
Grounding = Annotated[
    Grounded,
    Field(
        description="mark: sentences that no passage supports are listed in `unsupported`; strict: they are left out "
        "of the answer as well. Quoted answers have none."
    ),
]
MaxTokens = Annotated[int, Field(ge=1, le=32_768, description="Longest answer, in tokens.")]
Temperature = Annotated[float, Field(ge=0, le=2, description="0 always takes the likeliest token.")]
TopP = Annotated[float, Field(gt=0, le=1, description="Sample from the likeliest tokens with this total probability.")]
Penalty = Annotated[
    float, Field(ge=-2, le=2, description="Above 0: words that the answer has already become less likely.")
]
ResponseModeOption = Annotated[
    ResponseMode | None,
    Field(
        description="How the answer is made. compact: one call of the model; refine: passage after passage improves "
        "the answer; tree_summarize: notes of groups of passages, then an answer from the notes. null: the default of "
        "the vector store, then of the service. The extractive model quotes, so it is compact."
    ),
]
LanguageOption = Annotated[
    LanguageTag | None,
    Field(
        description="Language of the answer, a BCP 47 tag such as de or pt-BR; auto: that of the question. null: "
        "the default. The extractive model quotes the documents in their own language."
    ),
]
LengthOption = Annotated[
    AnswerLength | None,
    Field(
        description="Length of the answer: short, medium, long, or the most sentences. null: the default. The "
        "extractive model quotes 1, 3 or 6 sentences."
    ),
]
