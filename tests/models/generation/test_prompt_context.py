"""Prompts in the style of RAG frameworks' tutorials, with texts of our own."""

import pytest

from models.generation.prompt_context import read_context
from models.types.generation import ChatMessage

FERRY = "The ferry to Alder Isle leaves at 07:40.\n\nIt carries twelve cars."
QUESTION = "When does the ferry leave?"
RULES = "You are an assistant for question-answering tasks. Use the following pieces of retrieved context."


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage("user", text)]


def system(text: str, question: str = QUESTION) -> list[ChatMessage]:
    return [ChatMessage("system", text), ChatMessage("user", question)]


PROMPTS = {
    "one message with labels": user(f"{RULES}\nQuestion: {QUESTION} \nContext: {FERRY} \nAnswer:"),
    "context first": user(
        f"Given these documents, answer the question.\n\nContext:\n{FERRY}\n\nQuestion: {QUESTION}\nAnswer:"
    ),
    "between lines of dashes": user(
        f"Context information is below.\n-----\n{FERRY}\n-----\nGiven the context information and no prior "
        f"knowledge, answer the query.\nQuery: {QUESTION}\nAnswer: "
    ),
    "in tags": user(f"Answer from this.\n<context>\n{FERRY}\n</context>\n{QUESTION}"),
    "in tags, first": user(f"<context>\n{FERRY}\n</context>\n{QUESTION}"),
    "in the system message": system(f"{RULES} Say if you do not know.\n\n{FERRY}"),
    "system message with a label": system(f"{RULES}\n\nContext: {FERRY}"),
    "result of a tool": [
        *user(QUESTION),
        ChatMessage("assistant", ""),
        ChatMessage("tool", FERRY),
    ],
    "bare text, then the question": user(f"{FERRY}\n\n{QUESTION}"),
}


@pytest.mark.parametrize("messages", PROMPTS.values(), ids=PROMPTS)
def test_question_and_context_are_told_apart(messages: list[ChatMessage]) -> None:
    prompt = read_context(messages)

    assert prompt is not None
    assert prompt.question == QUESTION
    assert prompt.text == FERRY


def test_tags_make_a_prompt_a_template() -> None:
    prompt = read_context(PROMPTS["in tags, first"])

    assert prompt is not None
    assert prompt.is_named


def test_the_last_question_counts_and_answers_are_no_context() -> None:
    messages = [
        *system(f"Use the context.\n\n{FERRY}", "How many cars?"),
        ChatMessage("assistant", "It carries three hundred cars."),
        *user(QUESTION),
    ]

    prompt = read_context(messages)

    assert prompt is not None
    assert (prompt.question, prompt.text) == (QUESTION, FERRY)


@pytest.mark.parametrize(
    "messages",
    [
        user(QUESTION),
        system("You are a helpful assistant."),
        [ChatMessage("system", FERRY)],
        user("Context:\nQuestion: Why?"),
    ],
    ids=["question alone", "instructions alone", "no question", "empty context"],
)
def test_a_conversation_without_question_or_context_has_none(messages: list[ChatMessage]) -> None:
    assert read_context(messages) is None


@pytest.mark.parametrize("role", ["system", "tool"])
def test_a_context_that_is_too_long_to_be_read_is_none(role: str) -> None:
    long = [ChatMessage("system", RULES), ChatMessage(role, f"{FERRY}\n\n" * 2_000), *user(QUESTION)]
    past = [ChatMessage("user", f"{FERRY}\n\n" * 2_000), ChatMessage("assistant", "So it is."), *user(QUESTION)]

    assert read_context(long) is None
    assert read_context([*past, *system(f"{RULES}\n\nContext: {FERRY}")]) is not None
