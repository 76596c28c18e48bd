"""The mode, language and length of an answer: the request's, else its vector store's, else the service's."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from models.answer_form import AUTO, LANGUAGE_TAG, MAX_SENTENCES, AnswerForm, LengthName, ResponseMode
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answering, Event, Query

LanguageTag = Annotated[str, StringConstraints(pattern=f"^({AUTO}|{LANGUAGE_TAG})$", max_length=35)]


def _explained(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """A union's own error names its first branch alone."""
    try:
        return validate(value)
    except ValidationError:
        message = "must be short, medium, long, or the most sentences: a whole number from 1 to {maximum}"
        raise PydanticCustomError("answer_length", message, {"maximum": MAX_SENTENCES}) from None


AnswerLength = Annotated[
    LengthName | Annotated[int, Field(strict=True, ge=1, le=MAX_SENTENCES)], WrapValidator(_explained)
]


class AnswerConfig(BaseModel):
    """How answers are made, unless a request or its vector store says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    response_mode: ResponseMode = Field(
        default="compact",
        description="compact: one call of the model; refine: passage after passage improves the answer; "
        "tree_summarize: notes of groups of passages, then an answer from the notes.",
    )
    language: LanguageTag = Field(default=AUTO, description="Language of answers, a BCP 47 tag; auto: the question's.")
    length: AnswerLength | None = Field(
        default=None, description="short, medium, long, or the most sentences; null: brief, as the model sees it."
    )
    max_calls: int = Field(
        default=8, ge=2, le=64, description="Most calls of the model for one answer by refine and tree_summarize."
    )

    @property
    def form(self) -> AnswerForm:
        return AnswerForm(self.response_mode, self.language, self.length)


class FormedAnswering:
    """Completes the form of each question. A model that only quotes leaves out what it cannot follow."""

    def __init__(self, answering: Answering, config: AnswerConfig) -> None:
        self._answering, self._default = answering, config.form

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        form = query.form.completed_by(query.store_form).completed_by(self._default)
        query = replace(query, form=form, store_form=AnswerForm())
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                yield event
