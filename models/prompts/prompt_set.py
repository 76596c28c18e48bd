"""A prompt set: the instructions, examples and refusals of one version, checked when its file is read."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from models.answer_form import AUTO, LANGUAGE_TAG, AnswerForm, AnswerPrompt, Example, LengthName, RefusalName
from models.languages.tags import DEFAULT_TAG, language_tag
from models.prompts.placeholders import PLAIN, Bounded, template

MAX_EXAMPLES = 8
_DIGEST_BYTES = 8
_MAX_CACHED_FORMS = 256

Plain = Annotated[str, Bounded, PLAIN]
Tag = Annotated[str, StringConstraints(pattern=f"^{LANGUAGE_TAG}$", max_length=35)]


class _Texts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExampleTexts(_Texts):
    """A question as the model reads it, and the answer that it should give."""

    user: Plain
    assistant: Plain

    def to_example(self) -> Example:
        return Example(self.user, self.assistant)


class AnswerTexts(_Texts):
    """The prompt of an answer from passages."""

    instructions: Annotated[str, Bounded, template(optional=("language", "length"))] = Field(
        description="The system message's beginning. {language} and {length} are what the request chose."
    )
    passages: Plain = Field(description="The line before the passages.")
    no_passages: Plain = Field(description="What stands in place of passages if there are none.")
    relevance: Annotated[str, Bounded, template("numbers")] = Field(description="Ranks the passages; {numbers}.")
    earlier: Plain = Field(description="The line before the earlier questions of a long conversation.")
    functions: Plain = Field(default="", description="After the instructions, where the client has functions.")
    examples: tuple[ExampleTexts, ...] = Field(
        default=(), max_length=MAX_EXAMPLES, description="Few-shots, before the conversation."
    )


class StepTexts(_Texts):
    """What the model reads as well where an answer takes several calls."""

    refine: Annotated[str, Bounded, template("draft")] = Field(description="Improve {draft} by further passages.")
    summarize: Plain = Field(description="Summarise what the passages say about the question.")
    combine: Annotated[str, Bounded, template("drafts")] = Field(description="Answer from summaries, {drafts}.")


class LanguageTexts(_Texts):
    """How instructions name a language. `other` names one without a name here, by its {tag}."""

    question: Plain
    other: Annotated[str, Bounded, template("tag")]
    names: dict[Tag, Plain] = Field(max_length=500)


class LengthTexts(_Texts):
    """How instructions name a length. `sentences` has a {count}."""

    unset: Plain
    short: Plain
    medium: Plain
    long: Plain
    sentences: Annotated[str, Bounded, template("count")]


class InstructionTexts(_Texts):
    """The prompt of a task whose text is a question."""

    instructions: Plain
    examples: tuple[ExampleTexts, ...] = Field(default=(), max_length=MAX_EXAMPLES)


class UnderstandingTexts(_Texts):
    """The prompts that help to search a question. None of them answers it."""

    split: InstructionTexts = Field(description="Splits a compound question, a line each.")
    wordings: Annotated[str, Bounded, template("number")] = Field(description="Asks for {number} other wordings.")
    passage: Plain = Field(description="Makes up a passage that answers the question.")


class MemoryTexts(_Texts):
    """The prompts that remember a conversation."""

    summary: Plain = Field(description="Asks for a summary of a part of a conversation, and of the summary before it.")


class PromptTexts(_Texts):
    """The content of a prompt set's file."""

    note: str = Field(default="", max_length=500, description="Purpose, in one line.")
    answer: AnswerTexts
    steps: StepTexts
    languages: LanguageTexts
    lengths: LengthTexts
    follow_up: InstructionTexts
    understanding: UnderstandingTexts
    memory: MemoryTexts
    judge: Annotated[str, Bounded, template("passage", "statement")] = Field(
        description="Asks whether {passage} supports {statement}, for `ragserve eval answers --judge`. Yes or no."
    )
    refusals: dict[RefusalName, dict[Tag, Plain]] = Field(description="Texts by language.")

    @field_validator("refusals")
    @classmethod
    def _is_complete(cls, refusals: dict[RefusalName, dict[str, str]]) -> dict[RefusalName, dict[str, str]]:
        for name in get_args(RefusalName):
            if DEFAULT_TAG not in refusals.get(name, {}):
                raise ValueError(f"{name} needs a text in {DEFAULT_TAG!r}, which stands for languages without one")
        return refusals


class PromptSet:
    """The texts of one version. Equal sets have the same name and digest, which are its repr."""

    def __init__(self, name: str, texts: PromptTexts) -> None:
        """`name` is name@version."""
        self.name, self.texts = name, texts
        content = json.dumps(texts.model_dump(), sort_keys=True).encode()
        self.digest = blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()

    def __repr__(self) -> str:
        return f"PromptSet({self.name!r}, {self.digest!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PromptSet) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash((self.name, self.digest))

    def for_answer(self, form: AnswerForm, question: str) -> AnswerPrompt:
        """The texts in the form's language and length. Refusals are in the question's language if that is AUTO."""
        tag = language_tag(question) if form.language in (None, AUTO) else str(form.language)
        return _for_answer(self, form.language, form.length, tag)

    def refusal(self, name: RefusalName, form: AnswerForm, question: str) -> str:
        return self.for_answer(form, question).refusals[name]

    def language(self, tag: str | None) -> str:
        """The language as instructions name it."""
        texts = self.texts.languages
        if tag in (None, AUTO):
            return texts.question
        primary = str(tag).partition("-")[0].lower()
        if tag in texts.names or primary not in texts.names:
            return texts.names.get(str(tag)) or texts.other.format(tag=tag)
        name = texts.names[primary]
        return name if tag == primary else f"{name} ({tag})"

    def length(self, length: LengthName | int | None) -> str:
        """The length as instructions name it."""
        texts = self.texts.lengths
        if isinstance(length, int):
            return texts.short if length == 1 else texts.sentences.format(count=length)
        by_name: Mapping[str | None, str] = {None: texts.unset, "short": texts.short, "medium": texts.medium}
        return by_name.get(length, texts.long)


@lru_cache(_MAX_CACHED_FORMS)
def _for_answer(prompts: PromptSet, language: str | None, length: LengthName | int | None, tag: str) -> AnswerPrompt:
    texts, steps = prompts.texts.answer, prompts.texts.steps
    chosen = {"language": prompts.language(language), "length": prompts.length(length)}
    return AnswerPrompt(
        name=prompts.name,
        instructions=texts.instructions.format(**chosen).strip(),
        passages=texts.passages,
        no_passages=texts.no_passages,
        relevance=texts.relevance,
        earlier=texts.earlier,
        functions=texts.functions,
        refine=steps.refine,
        summarize=steps.summarize,
        combine=steps.combine,
        examples=tuple(example.to_example() for example in texts.examples),
        refusals={name: _in_language(by_tag, tag) for name, by_tag in prompts.texts.refusals.items()},
    )


def _in_language(texts: Mapping[str, str], tag: str) -> str:
    """The text of the tag, of its language without script and region, or the default's."""
    primary = tag.partition("-")[0].lower()
    return texts.get(tag) or texts.get(primary) or texts[DEFAULT_TAG]
