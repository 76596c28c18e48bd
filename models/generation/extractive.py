"""Answers with the sentences of the passages that answer, verbatim and cited: no language model, a few milliseconds.

The default where there is no LLM, and what the service falls back to when the LLM is overloaded or down.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.embedding.base import EmbeddingModel
from models.embedding.offline import embed_documents, embed_queries
from models.errors import InvalidRequestError, ModelNotFoundError
from models.generation.base import EngineActivity
from models.generation.markers import escape_markers
from models.generation.reading import stems_and_size
from models.generation.relevance import Unit, answer_units, lexical_scores
from models.generation.sentences import is_prose, looks_like_code
from models.generation.words import words
from models.types import CompletionRequest, GenerationDelta, GenerationRequest

NOTHING_FOUND = "Nothing in the searched documents answers this question."

_NEEDS_LLM = "for more, set user_config.model of the Generator to a language model, a catalog entry of kind vllm"

# Two sentences that share this much of the shorter one's words say the same: overlapping chunks repeat sentences.
_SAME_SHARE = 0.8


class ExtractiveConfig(BaseModel):
    """What an extractive answer is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_sentences: int = Field(default=3, ge=1, le=20, description="Most sentences, list items or table rows quoted.")


class ExtractiveModel:
    """A GenerationModel that quotes. It needs no start, cannot fail, and answers the same question the same way.

    An answer is one delta, for it is there at once. Having no tokenizer, it counts words where a language model counts
    tokens.
    An `encoder` also compares what each sentence means with the question. With all-MiniLM-L6-v2 that puts the answer
    first in 2 to 3 of 100 more questions with distractors, and takes 11 ms of CPU a sentence: hence none by default.
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
        """One delta: the sentences, best first.

        Raises InvalidRequestError for an answer in JSON: it quotes, and writes nothing of its own.
        """
        if request.sampling.response_schema is not None:
            raise InvalidRequestError(
                f"model {self.name!r} quotes sentences and writes no JSON; {_NEEDS_LLM}", "response_format"
            )
        # An encoder takes long enough to hold up the other requests of this event loop; words do not.
        best = await asyncio.to_thread(self._best, request) if self._encoder else self._best(request)
        fitting = _first_words(best, request.sampling.max_tokens)
        said = list(_quotes(fitting)) if fitting else [NOTHING_FOUND]
        num_said = sum(len(words(text)) for text in said)
        num_read = sum(stems_and_size(passage.indexed_text)[1] for passage in request.passages)
        finish = "stop" if len(fitting) == len(best) else "length"
        yield GenerationDelta("".join(said), finish, num_read, num_said)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[dict[str, Any], None]:
        """Raises InvalidRequestError, for without documents it has nothing to say, and ModelNotFoundError."""
        if request.body.get("model") != self.name:
            raise ModelNotFoundError("model", str(request.body.get("model")), [self.name])
        raise InvalidRequestError(f"model {self.name!r} answers from documents alone; {_NEEDS_LLM}", "model")
        yield {}

    def activity(self) -> EngineActivity:
        """Nothing unfinished: it computes on the event loop, and an answer is whole before its first delta."""
        return EngineActivity()

    async def check_health(self) -> None:
        """Always well."""

    async def stop(self) -> None:
        """Nothing to free."""

    def _best(self, request: GenerationRequest) -> list[Unit]:
        """Up to max_sentences units, best first, none of which repeats a better one, numbered as the request is.

        Ranked by relevance: the order of the passages in the request changes the numbers alone.
        """
        question = _question(request)
        passages = tuple(request.passages[place] for place in request.best_first)
        units = answer_units(passages)
        scores = lexical_scores(question, units, passages, request.term_weights)
        if self._encoder and units:
            vectors = embed_documents(self._encoder, [unit.text for unit in units])
            similarities = vectors @ embed_queries(self._encoder, [question])[0]
            scores = [score + float(similarity) for score, similarity in zip(scores, similarities, strict=True)]
        order = sorted(range(len(units)), key=lambda at: -scores[at])
        best = _distinct([units[at] for at in order], self._config.max_sentences)
        return [replace(unit, number=request.best_first[unit.number - 1] + 1) for unit in best]


def _question(request: GenerationRequest) -> str:
    asked = [message.content for message in request.messages if message.role == "user"]
    return asked[-1] if asked else request.question


def _distinct(units: list[Unit], limit: int) -> list[Unit]:
    chosen: list[Unit] = []
    for unit in units:
        if len(chosen) == limit:
            break
        if not any(_is_same(unit, other) for other in chosen):
            chosen.append(unit)
    return chosen


def _is_same(one: Unit, other: Unit) -> bool:
    return len(one.stems & other.stems) >= _SAME_SHARE * min(len(one.stems), len(other.stems))


def _first_words(units: list[Unit], max_words: int) -> list[Unit]:
    """As many units as fit in `max_words`, and one in any case."""
    fitting: list[Unit] = []
    for unit in units:
        max_words -= len(unit.sentence.words)
        if fitting and max_words < 0:
            break
        fitting.append(unit)
    return fitting


def _quotes(units: list[Unit]) -> Iterator[str]:
    """Each unit with its marker. Sentences follow each other; list items, rows and code stand by themselves."""
    for position, unit in enumerate(units):
        neighbours = units[max(0, position - 1) : position + 1]
        gap = " " if all(is_prose(neighbour.text) for neighbour in neighbours) else "\n\n"
        yield f"{gap if position else ''}{escape_markers(unit.text)}{_before_marker(unit.text)}[{unit.number}]"


def _before_marker(text: str) -> str:
    """A line break behind code: on its line, a marker would be taken for code or keep a fenced block open."""
    last_line = text.rpartition("\n")[2]
    return "\n" if last_line.count("`") % 2 or looks_like_code(last_line) else " "
