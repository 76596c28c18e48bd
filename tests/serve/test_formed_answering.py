"""The mode, language and length of an answer: the request's, else the store's, else the service's."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from models.answer_form import AnswerForm
from models.types.request_context import RequestContext
from serve.pipelines.answering import Event, PassagesFound, Query
from serve.pipelines.formed_answering import AnswerConfig, FormedAnswering
from tests.contexts import within
from tests.inline import question


class Recorder:
    """An Answering that remembers its queries."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        self.queries.append(query)
        yield PassagesFound(())


async def form_of(form: AnswerForm, store_form: AnswerForm, **config: Any) -> AnswerForm:
    recorder = Recorder()
    query = replace(question("Why?"), form=form, store_form=store_form)
    _ = [event async for event in FormedAnswering(recorder, AnswerConfig(**config)).answer(query, within(10))]
    [formed] = recorder.queries
    assert formed == replace(query, form=formed.form, store_form=AnswerForm())
    return formed.form


async def test_the_request_decides_before_the_store_and_the_store_before_the_service() -> None:
    form = await form_of(
        AnswerForm(response_mode="refine"), AnswerForm("compact", language="de"), language="fr", length="long"
    )

    assert form == AnswerForm("refine", "de", "long")


async def test_without_any_choice_it_is_compact_in_the_questions_language() -> None:
    assert await form_of(AnswerForm(), AnswerForm()) == AnswerForm("compact", "auto", None)


@pytest.mark.parametrize(
    "config",
    [
        {"response_mode": "map_reduce"},
        {"language": "German"},
        {"language": "de\n"},
        {"language": "de-"},
        {"language": ""},
        {"length": 0},
        {"length": 21},
        {"length": True},
        {"length": "tiny"},
        {"length": 2.5},
        {"max_calls": 1},
        {"max_calls": 65},
    ],
)
def test_a_wrong_choice_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AnswerConfig(**config)


@pytest.mark.parametrize("tag", ["de", "pt-BR", "zh-Hant-TW", "es-419", "sl-rozaj", "auto"])
def test_tags_of_bcp_47_are_languages(tag: str) -> None:
    assert AnswerConfig(language=tag).form.language == tag
