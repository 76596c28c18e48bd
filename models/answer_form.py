"""How an answer is made: what a request chooses, what a language model reads for it, and the steps to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

ResponseMode = Literal["compact", "refine", "tree_summarize"]
LengthName = Literal["short", "medium", "long"]
Length = LengthName | int
RefusalName = Literal["not_in_documents", "not_in_context", "nothing_supported", "nothing_found", "greeting", "thanks"]

AUTO = "auto"  # the language of the question
# BCP 47 without extensions: language, script, region, variants.
LANGUAGE_TAG = r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3})){0,2}"
MAX_SENTENCES = 20
# The named lengths in sentences, for a model that counts them.
SENTENCES: Mapping[LengthName, int] = {"short": 1, "medium": 3, "long": 6}


@dataclass(frozen=True)
class AnswerForm:
    """What may be chosen for an answer. None: the choice is open.

    `language` is a BCP 47 tag, or AUTO. An integer `length` is the most sentences.
    """

    response_mode: ResponseMode | None = None
    language: str | None = None
    length: Length | None = None

    @property
    def num_sentences(self) -> int | None:
        """The most sentences; None if it is open."""
        return SENTENCES[self.length] if isinstance(self.length, str) else self.length

    def completed_by(self, defaults: "AnswerForm") -> "AnswerForm":
        """This form, with the choices of `defaults` where it has none."""
        return replace(defaults, **{name: value for name, value in vars(self).items() if value is not None})


@dataclass(frozen=True)
class Example:
    """A question with its context, and the answer that a model should give to it."""

    user: str
    assistant: str


@dataclass(frozen=True)
class AnswerPrompt:
    """The texts of one prompt set, in the language and length of one answer.

    `name` has the set's version. `relevance`, `refine`, `summarize` and `combine` are templates: models/prompts.
    `refusals` are in the language of the answer.
    """

    name: str
    instructions: str
    passages: str
    no_passages: str
    relevance: str
    earlier: str
    functions: str
    refine: str
    summarize: str
    combine: str
    examples: tuple[Example, ...]
    refusals: Mapping[RefusalName, str]


@dataclass(frozen=True)
class AnswerStep:
    """One of several calls of a language model for one answer.

    `places` are the passages to read, from 0, the most relevant first. `drafts` are texts of earlier steps. Their
    markers count the passages of the whole request, from 1, as those of every step do.
    """

    kind: Literal["first", "refine", "summarize", "combine"]
    places: tuple[int, ...] = ()
    drafts: tuple[str, ...] = ()
