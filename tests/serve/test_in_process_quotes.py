"""Who quotes: this process if the Generator's model only quotes, else the Generator."""

from collections.abc import AsyncGenerator

import pytest

from deployments.generator import quoting_models
from models.catalog import Catalog
from models.errors.configuration import ModelNotFoundError
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.in_process_quotes import InProcessQuotes
from tests.contexts import within

PASSAGE = Passage(1, "chunk_1", "file_1", "ovens.md", "The oven heats to 250 degrees.", 0, 30)
REQUEST = GenerationRequest("request", (ChatMessage("user", "How hot does the oven get?"),), (PASSAGE,))


class Writer:
    """A generator elsewhere, which writes its own answer."""

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        yield GenerationDelta("Written elsewhere.", finish_reason="stop", model="writer")


async def answer_of(alias: str | None) -> list[GenerationDelta]:
    """The answer while the Generator serves `alias`."""

    async def serving_alias() -> str | None:
        return alias

    quotes = InProcessQuotes(Writer(), serving_alias, quoting_models(Catalog.open(None)))
    return [delta async for delta in quotes.stream(REQUEST, within(5))]


async def test_the_extractive_model_quotes_in_this_process() -> None:
    (delta,) = await answer_of("extractive")

    assert (delta.text, delta.model) == ("The oven heats to 250 degrees. [1]", "extractive")


@pytest.mark.parametrize("alias", ["qwen3-0.6b", None], ids=["a language model", "an unknown state"])
async def test_all_else_is_the_generators(alias: str | None) -> None:
    (delta,) = await answer_of(alias)

    assert delta.model == "writer"


async def test_an_alias_outside_the_catalog_is_an_error_and_no_silent_quote() -> None:
    with pytest.raises(ModelNotFoundError):
        await answer_of("absent")
