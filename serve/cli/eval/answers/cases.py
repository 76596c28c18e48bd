"""Conversations to answer, with what a good answer has: a folder in BEIR's layout with gold answers.

Beside BEIR's fields a query may have `answers` (short ones), `answer` (free text), `gold_sentences`, `answerability`
(ANSWERABLE, PARTIAL, UNANSWERABLE, CONVERSATIONAL), and `messages`, the conversation with the question last.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from models.errors.requests import InvalidRequestError
from models.types.generation import ChatMessage
from serve.cli.driver.question_set import QuestionSet, query_rows, read_question_set

Kind = Literal["first question", "follow-up", "unanswerable", "off topic", "small talk"]
KINDS: tuple[Kind, ...] = ("first question", "follow-up", "unanswerable", "off topic", "small talk")
ANSWERABLE: tuple[Kind, ...] = ("first question", "follow-up")
SMALL_TALK = (
    "Hi!",
    "Good morning",
    "Thank you very much",
    "Bonjour",
    "Vielen Dank",
    "¿Cómo estás? Hola",
    "ok, bye",
    "你好",
)


@dataclass(frozen=True)
class Gold:
    """What a good answer has; empty where the set does not say. `documents` are the ids of the relevant ones."""

    answers: tuple[str, ...] = ()
    text: str = ""
    sentences: tuple[str, ...] = ()
    documents: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AnswerCase:
    """A conversation, its question last."""

    case_id: str
    kind: Kind
    messages: tuple[ChatMessage, ...]
    gold: Gold


@dataclass(frozen=True)
class AnswerSet:
    """The documents, with the cases to ask over them."""

    questions: QuestionSet
    cases: tuple[AnswerCase, ...]


@dataclass(frozen=True)
class Sizes:
    """Most documents and cases of a set; off-topic questions for a set. None: all."""

    max_documents: int | None
    num_cases: int | None
    num_off_topic: int
    seed: int


def read_answer_sets(folders: Sequence[Path], sizes: Sizes) -> list[AnswerSet]:
    """Each set with its own cases, small talk, and first questions of the other sets. Raises InvalidRequestError."""
    sets = [_read(folder, sizes) for folder in folders]
    if len({each.questions.name for each in sets}) < len(sets):
        raise InvalidRequestError("two folders have the same name; rename one of them")
    greetings = tuple(AnswerCase(f"small talk {text}", "small talk", _said(text), Gold()) for text in SMALL_TALK)
    return [replace(own, cases=(*own.cases, *_off_topic(own, sets, sizes), *greetings)) for own in sets]


def _read(folder: Path, sizes: Sizes) -> AnswerSet:
    questions = read_question_set(folder)
    questions = replace(questions, documents=questions.documents[: sizes.max_documents])
    present = frozenset(document.document_id for document in questions.documents)
    cases = [case for row in query_rows(folder) for case in _cases(row, questions, present)]
    random.Random(sizes.seed).shuffle(cases)
    return AnswerSet(questions, tuple(cases[: sizes.num_cases]))


def _cases(row: dict[str, Any], questions: QuestionSet, present: frozenset[str]) -> Iterator[AnswerCase]:
    """None for a question whose documents were left out, and for one that needs to be asked again."""
    messages = _conversation(row)
    kind = _kind(row, len(messages))
    relevant = {key for key, grade in questions.qrels.get(row["_id"], {}).items() if grade > 0}
    if kind is None or (kind in ANSWERABLE and not (relevant and relevant <= present)):
        return
    gold = Gold(_texts(row, "answers"), row.get("answer") or "", _texts(row, "gold_sentences"), frozenset(relevant))
    yield AnswerCase(row["_id"], kind, messages, gold if kind in ANSWERABLE else Gold())


def _kind(row: dict[str, Any], num_messages: int) -> Kind | None:
    match row.get("answerability", "ANSWERABLE"):
        case "ANSWERABLE" | "PARTIAL":
            return "follow-up" if num_messages > 1 else "first question"
        case "UNANSWERABLE":
            return "unanswerable"
        case "CONVERSATIONAL":
            return "small talk"
    return None


def _conversation(row: dict[str, Any]) -> tuple[ChatMessage, ...]:
    messages = row.get("messages") or [{"role": "user", "content": row["text"]}]
    return tuple(ChatMessage(message["role"], message["content"]) for message in messages)


def _texts(row: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(text for text in row.get(name) or () if text)


def _off_topic(own: AnswerSet, sets: Sequence[AnswerSet], sizes: Sizes) -> Iterator[AnswerCase]:
    """First questions of the other sets, as many of each."""
    for asking in sets:
        if asking is own:
            continue
        first = [case for case in asking.cases if case.kind == "first question"]
        for case in first[: sizes.num_off_topic]:
            yield AnswerCase(f"{asking.questions.name} {case.case_id}", "off topic", case.messages, Gold())


def _said(text: str) -> tuple[ChatMessage, ...]:
    return (ChatMessage("user", text),)
