"""Which prompt set makes an answer, and how the answer and the metrics name it."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from models.corpus.corpus import Corpus
from models.errors.configuration import ConfigError
from models.prompts.library import PromptLibrary, default_prompts
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query
from serve.pipelines.prompted_answering import PromptedAnswering, PromptsConfig
from serve.pipelines.query import QueryConfig, QueryPipeline
from serve.pipelines.small_talk_answering import SmallTalkAnswering
from serve.pipelines.trace import Trace
from tests.contexts import within
from tests.inline import ingest, inline_stages, open_corpus, question

QUESTIONS = tuple(f"What is the kiln of village {number} fired with?" for number in range(200))


class Reciting:
    """A language model that writes the name of its prompt set, and its instructions."""

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        assert request.prompt is not None
        yield GenerationDelta(f"{request.prompt.name}: {request.prompt.instructions}", "stop", model="reciting")


class Naming:
    """An Answering that names the prompt set of each question."""

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        yield Answered("", (), (), "stop", 0, 0, Trace(), prompt=query.prompts.name)


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    opened = open_corpus(tmp_path)
    await ingest(opened, "kiln.md", b"The kiln is fired with dry alder.\n")
    yield opened
    opened.close()


@pytest.fixture
def library(tmp_path: Path) -> PromptLibrary:
    """The built-in sets, and brief@2 with other instructions."""
    texts = default_prompts().texts.model_dump()
    texts["answer"]["instructions"] = "Be brief."
    texts["refusals"]["greeting"]["en"] = "Yes?"
    folder = tmp_path / "prompts" / "brief"
    folder.mkdir(parents=True)
    (folder / "2.yaml").write_text(json.dumps(texts))
    return PromptLibrary.open(folder.parent)


def answering(corpus: Corpus, library: PromptLibrary, **config: Any) -> Answering:
    path: Answering = QueryPipeline(inline_stages(corpus, generator=Reciting()), QueryConfig())
    return PromptedAnswering(SmallTalkAnswering(path), PromptsConfig(**config), library)


async def ask(path: Answering, text: str) -> Answered:
    last = [event async for event in path.answer(question(text), within(60))][-1]
    assert isinstance(last, Answered)
    return last


async def test_the_configured_set_makes_the_answer_and_names_itself(corpus: Corpus, library: PromptLibrary) -> None:
    answered = await ask(answering(corpus, library, prompt="brief@2"), QUESTIONS[0])

    assert (answered.prompt, answered.text) == ("brief@2", "brief@2: Be brief.")


async def test_without_a_choice_it_is_the_default(corpus: Corpus, library: PromptLibrary) -> None:
    assert (await ask(answering(corpus, library), QUESTIONS[0])).prompt == "default@1"


def naming(library: PromptLibrary, share: float) -> PromptedAnswering:
    return PromptedAnswering(Naming(), PromptsConfig(canary={"prompt": "brief@2", "share": share}), library)


async def test_a_canary_gets_its_share_and_the_same_question_the_same_set(library: PromptLibrary) -> None:
    path, more = naming(library, 0.25), naming(library, 0.5)

    names = [(await ask(path, text)).prompt for text in QUESTIONS]
    again = [(await ask(path, text)).prompt for text in QUESTIONS[:20]]
    with_more = [(await ask(more, text)).prompt for text in QUESTIONS]

    # Fixed by the questions: a binomial share of 200 is within 30 of 50.
    assert 20 <= names.count("brief@2") <= 80
    assert names[:20] == again
    assert all(after == "brief@2" for before, after in zip(names, with_more, strict=True) if before == "brief@2")


async def test_a_share_of_zero_gets_nothing(library: PromptLibrary) -> None:
    path = naming(library, 0)

    assert {(await ask(path, text)).prompt for text in QUESTIONS} == {"default@1"}


async def test_replies_without_a_search_are_the_sets_own(corpus: Corpus, library: PromptLibrary) -> None:
    path = answering(corpus, library, prompt="brief@2")

    greeted, greeted_in_german = await ask(path, "Hello!"), await ask(path, "Hallo!")

    assert (greeted.text, greeted.prompt) == ("Yes?", "brief@2")
    assert greeted_in_german.text.startswith("Hallo, stellen Sie")


def count_of(prompt: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("ragserve_prompt_answers_total", {"prompt": prompt, "outcome": outcome}) or 0.0


async def test_answers_are_counted_by_set_and_outcome(corpus: Corpus, library: PromptLibrary) -> None:
    path, outcomes = answering(corpus, library, prompt="brief@2"), ("uncited", "declined", "small_talk")
    before = [count_of("brief@2", outcome) for outcome in outcomes]

    for text in (QUESTIONS[0], QUESTIONS[1], "Hello!"):
        await ask(path, text)

    after = [count_of("brief@2", outcome) for outcome in outcomes]
    assert [new - old for old, new in zip(before, after, strict=True)] == [2, 0, 1]


@pytest.mark.parametrize(
    "config", [{"prompt": "brief@3"}, {"canary": {"prompt": "brief", "share": 0.1}}, {"prompt": "../brief@2"}]
)
def test_an_unknown_set_is_refused(corpus: Corpus, library: PromptLibrary, config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no prompt set named"):
        answering(corpus, library, **config)


@pytest.mark.parametrize(
    "config", [{"canary": {"prompt": "brief@2"}}, {"canary": {"prompt": "brief@2", "share": 1}}, {"name": "brief@2"}]
)
def test_a_wrong_config_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PromptsConfig(**config)


async def test_a_question_with_a_lone_surrogate_has_a_set(library: PromptLibrary) -> None:
    assert (await ask(naming(library, 0.5), "\ud800")).prompt in library.sets
