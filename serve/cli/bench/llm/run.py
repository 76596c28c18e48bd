"""Starts the model in this process, and asks one question after the other, with the prompt of the service."""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.catalog import Catalog
from models.errors.requests import InvalidRequestError
from models.generation.citations import CitationStream
from models.generation.vllm_config import VllmConfig
from models.generation.vllm_model import VllmModel
from models.generation.words import words
from models.types.generation import ChatMessage, GenerationRequest, SamplingOptions
from serve.cli.bench.llm.cases import Case, cases

MAX_TOKENS = 96
MAX_REFUSAL_WORDS = 40
REPORT_EVERY = 10  # answers
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 120}, "sure": {"type": "boolean"}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}
_NEGATIONS = frozenset(words("no not none cannot unable doesn don isn nothing"))


Report = Callable[..., None]  # gets lines of text


@dataclass(frozen=True)
class Answer:
    """What a model wrote for a case. `cited` has the file ids of the cited passages."""

    text: str
    cited: frozenset[str]
    num_prompt_tokens: int
    num_tokens: int
    first_s: float
    total_s: float

    @property
    def is_refusal(self) -> bool:
        """Cites nothing, is short, and negates."""
        tokens = words(self.text)
        return not self.cited and len(tokens) <= MAX_REFUSAL_WORDS and not _NEGATIONS.isdisjoint(tokens)


def run(model: VllmModel, folders: list[Path], num_questions: int, report: Report) -> None:
    """Report each set as soon as it is measured. Raises InvalidRequestError, ModelLoadError."""
    sets = {folder.name: list(cases(folder, num_questions)) for folder in folders}
    asyncio.run(_measure(model, sets, report))


def open_model(alias: str, dtype: str, catalog: Path | None) -> VllmModel:
    """The model, not started. Raises InvalidRequestError."""
    config = Catalog.open(catalog).config("generation", alias)
    if not isinstance(config, VllmConfig):
        raise InvalidRequestError(f"{alias!r} is not of kind vllm", "llm")
    if dtype != "auto":
        config = config.model_copy(update={"engine_kwargs": {**config.engine_kwargs, "dtype": dtype}})
    os.environ.update(config.environment())  # vLLM reads them when it is imported
    return VllmModel(alias, config)


async def _measure(model: VllmModel, sets: dict[str, list[Case]], report: Report) -> None:
    report(f"starting {model.name}")
    async with _started(model):
        for name, questions in sets.items():
            plain = await _answers(model, questions, None, report)
            report(*summary(name, questions, plain))
            in_json = await _answers(model, questions, SCHEMA, report)
            report(_row("JSON by its schema", [_is_valid(answer.text) for answer in in_json]))


async def _answers(
    model: VllmModel, questions: list[Case], schema: dict[str, Any] | None, report: Report
) -> list[Answer]:
    """One answer after the other. A set takes minutes on a CPU, so the progress is reported."""
    answers: list[Answer] = []
    for case in questions:
        answers.append(await _answer(model, case, schema))
        if len(answers) % REPORT_EVERY == 1:
            rate = answers[-1].num_tokens / max(answers[-1].total_s, 1e-9)
            report(f"  {len(answers)} of {len(questions)} answered, the last one at {rate:.1f} tokens/s")
    return answers


@asynccontextmanager
async def _started(model: VllmModel) -> AsyncGenerator[None, None]:
    await model.start()
    try:
        yield
    finally:
        await model.stop()


async def _answer(model: VllmModel, case: Case, schema: dict[str, Any] | None) -> Answer:
    sampling = SamplingOptions(max_tokens=MAX_TOKENS, response_schema=schema)
    request = GenerationRequest("bench", (ChatMessage("user", case.question),), case.passages, sampling)
    stream, start, first_s = CitationStream(case.passages), time.perf_counter(), 0.0
    texts, cited = list[str](), set[str]()
    async for delta in model.stream(request):
        first_s = first_s or time.perf_counter() - start
        piece = stream.read(delta)
        texts.append(piece.text)
        cited |= {citation.passage.file_id for citation in piece.citations}
    total_s, text = time.perf_counter() - start, "".join(texts)
    return Answer(text, frozenset(cited), delta.num_prompt_tokens, delta.num_completion_tokens, first_s, total_s)


def summary(name: str, questions: list[Case], answers: list[Answer]) -> Iterator[str]:
    """What the answers cite, say and refuse, their speed, and the first two of them."""
    pairs = list(zip(questions, answers, strict=True))
    answerable = [(case, answer) for case, answer in pairs if case.relevant]
    unanswerable = [answer for case, answer in pairs if not case.relevant]
    citing = [(case, answer) for case, answer in answerable if answer.cited]
    yield f"{name}: {len(answerable)} questions with their passage among three, {len(unanswerable)} without"
    yield _row("with: cites a passage", [bool(answer.cited) for _, answer in answerable])
    yield _row("of these, cites the one that answers", [bool(case.relevant & answer.cited) for case, answer in citing])
    yield _row("with: has the gold answer", [_has_gold(case, answer) for case, answer in answerable if case.answers])
    yield _row("with: refuses", [answer.is_refusal for _, answer in answerable])
    yield _row("without: refuses", [answer.is_refusal for answer in unanswerable])
    yield _row("without: cites a passage", [bool(answer.cited) for answer in unanswerable])
    decoding_s = sum(answer.total_s - answer.first_s for answer in answers)
    yield f"  {'prompt tokens, mean':40} {_mean([answer.num_prompt_tokens for answer in answers]):7.0f}"
    yield f"  {'first text after, mean s':40} {_mean([answer.first_s for answer in answers]):7.2f}"
    yield f"  {'tokens/s after it':40} {sum(answer.num_tokens for answer in answers) / max(decoding_s, 1e-9):7.1f}"
    yield from (f"  {case.question!r} -> {answer.text!r}" for case, answer in pairs[:2])


def _row(label: str, outcomes: list[bool]) -> str:
    return f"  {label:40} {sum(outcomes):4} of {len(outcomes)}"


def _has_gold(case: Case, answer: Answer) -> bool:
    return any(gold.lower() in answer.text.lower() for gold in case.answers)


def _is_valid(text: str) -> bool:
    try:
        return set(json.loads(text)) == set(SCHEMA["required"])
    except (ValueError, TypeError):
        return False


def _mean(values: list[float] | list[int]) -> float:
    return sum(values) / max(1, len(values))
