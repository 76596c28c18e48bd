from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from models.errors.requests import InvalidRequestError
from models.types.generation import ChatMessage, SamplingOptions
from models.types.request_context import RequestContext
from serve.pipelines.answering import Event, PassagesFound, Query
from serve.pipelines.supported_answering import SupportedAnswering
from tests.contexts import within
from tests.inline import question

WARM = replace(question("Why?"), sampling=SamplingOptions(temperature=0.7))


class Recorder:
    """An Answering that remembers its queries."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        self.queries.append(query)
        yield PassagesFound(())


async def ask(query: Query, alias: str | None) -> list[Query]:
    """The queries that get through, where `alias` serves."""
    recorder = Recorder()

    async def serving_alias() -> str | None:
        return alias

    answering = SupportedAnswering(recorder, serving_alias, lambda name: name == "quoter")
    _ = [event async for event in answering.answer(query, within(10))]
    return recorder.queries


async def test_an_option_that_quoting_cannot_follow_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequestError, match="extra: ignore") as refused:
        await ask(WARM, "quoter")

    assert refused.value.param == "temperature"


async def test_on_request_it_is_left_out() -> None:
    system = replace(WARM, extra="ignore", messages=(ChatMessage("system", "Rhyme."), *WARM.messages))

    [query] = await ask(system, "quoter")

    assert query.sampling == SamplingOptions()
    assert query.messages == WARM.messages


@pytest.mark.parametrize("alias", ["writer", None])
async def test_a_language_model_and_an_unknown_one_get_it(alias: str | None) -> None:
    assert await ask(WARM, alias) == [WARM]
