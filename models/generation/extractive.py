"""Extractive answers: the passages' best sentences, verbatim and cited, in a few milliseconds without an LLM.

This is the default without an LLM, and the fallback when the LLM is overloaded or down.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.answer_form import AnswerForm
from models.embedding.base import EmbeddingModel
from models.embedding.offline import embed_documents, embed_queries
from models.errors.configuration import ModelNotFoundError
from models.errors.requests import InvalidRequestError
from models.generation.abilities import NEEDS_LLM, check_plain_request, refusal, unsupported_functions
from models.generation.base import EngineActivity
from models.generation.citations import CitationStream, CitedText
from models.generation.evidence import MIN_EVIDENCE
from models.generation.exact_quotes import exact_scores, in_reading_order
from models.generation.markers import escape_markers
from models.generation.own_context import context_evidence, prompt_passage
from models.generation.prompt import prompt_of
from models.generation.prompt_context import PromptContext, read_context
from models.generation.quoted_completion import QuotedAnswer, completion_objects, conversation
from models.generation.reading import stems_and_size
from models.generation.relevance import Unit, answer_units, lexical_scores, similarity_scores
from models.generation.sentences import is_prose, looks_like_code, unwrapped
from models.generation.standalone import standalone_question
from models.generation.words import words
from models.languages.same_form import exact_names
from models.prompts.library import default_prompts
from models.types.generation import (
    ChatMessage,
    CompletionRequest,
    GenerationDelta,
    GenerationRequest,
    Mark,
    SamplingOptions,
    last_question,
)

# Two sentences are the same if they share this fraction of the shorter one's words: overlapping chunks repeat some.
_SAME_FRACTION = 0.8


class ExtractiveConfig(BaseModel):
    """An entry of kind `extractive`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_sentences: int = Field(default=3, ge=1, le=20, description="Most sentences, list items or table rows quoted.")
    min_evidence: float = Field(
        default=MIN_EVIDENCE,
        ge=0,
        le=1,
        description="With less evidence in the context that a request brings, the answer says so; 0: always quote.",
    )


class ExtractiveModel:
    """A GenerationModel that quotes. It needs no start, cannot fail, and gives equal requests equal answers.

    An answer is one delta. It has no tokenizer and counts words instead of tokens. An `encoder` adds the similarity of
    sentence and question. With all-MiniLM-L6-v2 the answer is first in 2 to 3 more of 100 questions with distractors,
    at 11 ms of CPU a sentence. So there is none by default.
    """

    config_class = ExtractiveConfig

    def __init__(self, name: str, config: ExtractiveConfig, encoder: EmbeddingModel | None = None) -> None:
        self.name = name
        self.served_names: tuple[str, ...] = (name,)
        self._config = config
        self._encoder = encoder

    async def start(self) -> None:
        """Nothing to load."""

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """One delta: the sentences, best first. Steps mean nothing to it: it reads all passages at once.

        Raises InvalidRequestError for a request of JSON or with functions, as it only quotes.
        """
        request = replace(request, step=None) if request.step else request
        if request.sampling.response_schema is not None:
            raise refusal(self.name, "response_format", "cannot write JSON")
        if request.functions and not request.functions.is_optional:
            [(param, problem)] = unsupported_functions(request.functions).items()
            raise refusal(self.name, param, problem)
        # An encoder is slow enough to block the other requests of this event loop; counting words is not.
        best = await asyncio.to_thread(self._best, request) if self._encoder else self._best(request)
        fitting = _first_words(best, request.sampling.max_tokens)
        text, marks = _quotes(fitting) if fitting else (prompt_of(request).refusals["nothing_found"], ())
        num_read = sum(stems_and_size(passage.indexed_text)[1] for passage in request.passages)
        finish = "stop" if len(fitting) == len(best) else "length"
        yield GenerationDelta(text, finish, num_read, len(words(text)), marks=marks)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[dict[str, Any], None]:
        """Quotes from the context that the request brings, cited as `prompt`: OpenAI's objects.

        Raises ModelNotFoundError, and InvalidRequestError for a request without a question and a context, or for one
        that needs tools or JSON.
        """
        if request.body.get("model") != self.name:
            raise ModelNotFoundError("model", str(request.body.get("model")), [self.name])
        check_plain_request(self.name, request.body)
        messages = conversation(request)
        question, prompt = standalone_question(messages), read_context(messages)
        if question is None and prompt is None:
            problem = "only quotes: bring a context and a question, name vector_store_ids in a chat"
            raise InvalidRequestError(f"model {self.name!r} {problem}, or {NEEDS_LLM}", "model")
        if question is not None or prompt is None:
            answer, delta = QuotedAnswer(CitedText(question or ""), None, True), _said(question or "")
        else:
            answer, delta = await self._from_prompt(request, prompt)
        for response in completion_objects(request, answer, delta):
            yield response

    async def count_tokens(self, request: CompletionRequest) -> int:
        """Words, as in its usage."""
        return sum(len(words(message.content)) for message in conversation(request))

    async def _from_prompt(
        self, request: CompletionRequest, prompt: PromptContext
    ) -> tuple[QuotedAnswer, GenerationDelta]:
        """Quotes of the prompt's context, or that it does not answer the question."""
        evidence = context_evidence(prompt.question, prompt.text)
        if evidence < self._config.min_evidence:
            text = default_prompts().refusal("not_in_context", AnswerForm(), prompt.question)
            return QuotedAnswer(CitedText(text), evidence, False), _said(text)
        passages, sampling = (prompt_passage(prompt.text),), SamplingOptions(max_tokens=_max_tokens(request.body))
        quoting = GenerationRequest(request.request_id, (ChatMessage("user", prompt.question),), passages, sampling)
        [delta] = [delta async for delta in self.stream(quoting)]
        return QuotedAnswer(CitationStream(passages).read(delta), evidence, True), delta

    def activity(self) -> EngineActivity:
        """No activity: it computes on the event loop, and an answer is complete before its first delta."""
        return EngineActivity()

    async def check_health(self) -> None:
        """Always healthy."""

    async def stop(self) -> None:
        """Nothing to free."""

    def _best(self, request: GenerationRequest) -> list[Unit]:
        """As many different units as the request or the config allows, best first, with the request's passage numbers.

        They are ranked by relevance. The order of the passages in the request changes only the numbers.
        """
        question = request.question
        passages = tuple(request.passages[place] for place in request.best_first)
        units = answer_units(passages)
        scores = lexical_scores(question, units, passages, request.term_weights)
        last = last_question(request.messages)
        if last != question:  # a follow-up asks for what its own words say, about the subject of the whole
            own = lexical_scores(last, units, passages, request.term_weights)
            scores = [score + further for score, further in zip(scores, own, strict=True)]
        if request.sentence_scores:
            similarities = similarity_scores(units, [request.sentence_scores[place] for place in request.best_first])
            scores = [score + similarity for score, similarity in zip(scores, similarities, strict=True)]
        if self._encoder and units:
            vectors = embed_documents(self._encoder, [unit.text for unit in units])
            cosines = vectors @ embed_queries(self._encoder, [question])[0]
            scores = [score + float(cosine) for score, cosine in zip(scores, cosines, strict=True)]
        scores = exact_scores(last if exact_names(last) else question, units, passages, scores)
        order = sorted(range(len(units)), key=lambda index: -scores[index])
        limit = request.form.num_sentences or self._config.max_sentences
        best = _distinct([units[index] for index in order], limit)
        by_place = {(unit.number, unit.place): score for unit, score in zip(units, scores, strict=True)}
        best = in_reading_order(best, passages, by_place)
        return [replace(unit, number=request.best_first[unit.number - 1] + 1) for unit in best]


def _said(text: str) -> GenerationDelta:
    """A sentence of our own."""
    return GenerationDelta(text, "stop", 0, len(words(text)), marks=())


def _max_tokens(body: Mapping[str, Any]) -> int:
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return limit if isinstance(limit, int) and limit > 0 else SamplingOptions().max_tokens


def _distinct(units: list[Unit], limit: int) -> list[Unit]:
    chosen: list[Unit] = []
    for unit in units:
        if len(chosen) == limit:
            break
        if not any(_is_same(unit, better) for better in chosen):
            chosen.append(unit)
    return chosen


def _is_same(left: Unit, right: Unit) -> bool:
    """Whether two units say the same. Sentences of a template with other numbers do not."""
    if all(any(map(str.isdigit, own)) for own in (left.stems - right.stems, right.stems - left.stems)):
        return False
    return len(left.stems & right.stems) >= _SAME_FRACTION * min(len(left.stems), len(right.stems))


def _first_words(units: list[Unit], max_words: int) -> list[Unit]:
    """As many units as fit in `max_words`, but at least the first."""
    fitting: list[Unit] = []
    for unit in units:
        max_words -= len(unit.sentence.words)
        if fitting and max_words < 0:
            break
        fitting.append(unit)
    return fitting


def _quotes(units: list[Unit]) -> tuple[str, tuple[Mark, ...]]:
    """Each unit with its marker. A space separates sentences; blank lines separate list items, rows and code."""
    text, marks = "", list[Mark]()
    pieces = [unwrapped(unit.text) for unit in units]
    for position, (unit, shown) in enumerate(zip(units, pieces, strict=True)):
        gap = " " if all(map(is_prose, pieces[max(0, position - 1) : position + 1])) else "\n\n"
        text += f"{gap if position else ''}{_quote(shown)}{_before_marker(shown)}"
        marker = f"[{unit.number}]"
        marks.append(Mark(len(text), len(text) + len(marker), unit.number, unit.sentence.span))
        text += marker
    return text, tuple(marks)


def _quote(text: str) -> str:
    """The text of a document as an answer shows it. Code stays as it is, in a fence: it must run when copied."""
    if "```" in text:
        return text
    if not looks_like_code(text):
        return escape_markers(text)
    lines = text.split("\n")
    start = next(place for place, line in enumerate(lines) if line.strip() and looks_like_code(line))
    prose, code = "\n".join(lines[:start]).rstrip(), "\n".join(lines[start:])
    return "\n\n".join([*([escape_markers(prose)] if prose else []), f"```\n{code}\n```"])


def _before_marker(text: str) -> str:
    """A line break after code: on its line, a marker would be read as code or keep a fenced block open."""
    last_line = text.rpartition("\n")[2]
    return "\n" if last_line.count("`") % 2 or "```" in text or looks_like_code(last_line) else " "
