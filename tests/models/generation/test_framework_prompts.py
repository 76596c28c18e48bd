"""Prompts as LangChain, LlamaIndex and Haystack make them, with texts of our own."""

import pytest

from models.generation.prompt_context import read_context
from models.generation.standalone import standalone_question
from models.types.generation import ChatMessage

TEXT = "The lift goes to floor nine.\n\nIt stops for an hour at noon."
QUESTION = "When does the lift stop?"
NO_ANSWER = "If you don't know the answer, just say that you don't know, don't try to make up an answer."
REFINE = (
    "We have the opportunity to refine the existing answer (only if needed) with some more context below.\n"
    "------------\n"
    f"{TEXT}\n------------\nGiven the new context, refine the original answer to better answer the {{kind}}. If the "
    "context isn't useful, return the original answer."
)
HISTORY = "Human: Where does the lift go?\nAssistant: To floor nine."


def chat(*contents: str) -> list[ChatMessage]:
    """A system message, then turns of the user and the assistant."""
    roles = ("system", "user", "assistant", "user")
    return [ChatMessage(role, content) for role, content in zip(roles, contents, strict=False)]


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage("user", text)]


PROMPTS = {
    "langchain stuff": user(
        f"Use the following pieces of context to answer the question at the end. {NO_ANSWER}\n\n{TEXT}\n\n"
        f"Question: {QUESTION}\nHelpful Answer:"
    ),
    "langchain stuff, chat": chat(
        f"Use the following pieces of context to answer the user's question.\n{NO_ANSWER}\n----------------\n{TEXT}",
        QUESTION,
    ),
    "langchain map, completion": user(
        "Use the following portion of a long document to see if any of the text is relevant to answer the question.\n"
        f"Return any relevant text verbatim.\n{TEXT}\nQuestion: {QUESTION}\nRelevant text, if any:"
    ),
    "langchain map, chat": chat(
        f"Use the following portion of a long document.\nReturn any relevant text.\n______________________\n{TEXT}",
        QUESTION,
    ),
    "langchain combine, with an example": user(
        "Given the following extracted parts of a long document and a question, create a final answer.\n\n"
        "QUESTION: Who sings?\n=========\nContent: The choir sings.\n=========\nFINAL ANSWER: The choir.\n\n"
        f"QUESTION: {QUESTION}\n=========\n{TEXT}\n=========\nFINAL ANSWER:"
    ),
    "langchain agent's context": chat(
        f"You are a helpful assistant. Use the following context in your response:\n\n{TEXT}", QUESTION
    ),
    "langchain hub": chat(
        f"Answer any use questions based solely on the context below:\n\n<context>\n{TEXT}\n</context>", QUESTION
    ),
    "question at the end of an instruction": user(
        f"Context information is below. \n------------\n{TEXT}\n------------\nGiven the context and not prior "
        f"knowledge, answer the question: {QUESTION}\n"
    ),
    "llamaindex chat with rules": chat(
        "You are an expert Q&A system.\nAlways answer from the provided context information.\nSome rules to follow:\n"
        "1. Never directly reference the given context.\n2. Avoid statements like 'Based on the context'.",
        f"Context information is below.\n-----\n{TEXT}\n-----\nGiven the context information, answer the query.\n"
        f"Query: {QUESTION}\nAnswer: ",
    ),
    "llamaindex condense plus context": chat(
        f"The following is a friendly conversation.\n\nHere are the relevant documents for the context:\n\n{TEXT}\n\n"
        "Instruction: Based on the above documents, provide a detailed answer for the user question below.",
        QUESTION,
    ),
    "llamaindex sources with an example": user(
        "Please provide an answer based solely on the provided sources. For example:\nSource 1:\nThe sky is red.\n"
        "Query: What is red?\nAnswer: The sky [1].\nNow it's your turn. Below are several numbered sources:\n------\n"
        f"{TEXT}\n------\nQuery: {QUESTION}\nAnswer: "
    ),
    "haystack": chat(
        "You are a helpful assistant.",
        f"Given these documents, answer the question.\nDocuments:\n{TEXT}\n\nQuestion: {QUESTION}\nAnswer:",
    ),
    "documents with lines between them": user(f"Context:\n{TEXT}\n\nQuestion: {QUESTION}\nAnswer:"),
    "german": user(f"Kontext:\n{TEXT}\n\nFrage: {QUESTION}\nAntwort:"),
}


@pytest.mark.parametrize("messages", PROMPTS.values(), ids=PROMPTS)
def test_question_and_context_are_told_apart(messages: list[ChatMessage]) -> None:
    prompt = read_context(messages)

    assert prompt is not None
    assert (prompt.question, prompt.text, prompt.is_named) == (QUESTION, TEXT, True)


@pytest.mark.parametrize(
    "messages",
    [
        user(
            f"The original query is as follows: {QUESTION}\nWe have provided an existing answer: At noon. [1]\n"
            f"{REFINE.format(kind='query')}\nRefined Answer: "
        ),
        [*chat("", QUESTION, "At noon. [1]", REFINE.format(kind="question"))[1:]],
        user(
            "You refine.\n1. **Rewrite** an original answer using the new context.\nWhen in doubt, repeat it.\n"
            f"New Context: {TEXT}\nQuery: {QUESTION}\nOriginal Answer: At noon. [1]\nNew Answer: "
        ),
    ],
    ids=["completion", "chat", "expert"],
)
def test_an_answer_that_is_refined_is_context_too(messages: list[ChatMessage]) -> None:
    prompt = read_context(messages)

    assert prompt is not None
    assert (prompt.question, prompt.text, prompt.is_named) == (QUESTION, f"At noon.\n\n{TEXT}", True)


@pytest.mark.parametrize(
    "messages",
    [
        user(
            "Given the following conversation and a follow up question, rephrase it to be a standalone question.\n\n"
            f"Chat History:\n{HISTORY}\nFollow Up Input: When does it stop?\nStandalone question:"
        ),
        user(
            "Given a conversation and a follow up message, rewrite the message to be a standalone question.\n\n"
            f"<Chat History>\n{HISTORY}\n\n<Follow Up Message>\nWhen does it stop?\n\n<Standalone question>\n"
        ),
        chat(
            "Given a chat history, formulate a standalone question. Do NOT answer the question.",
            "Where does the lift go?",
            "To floor nine.",
            "When does it stop?",
        ),
    ],
    ids=["label", "tags", "history"],
)
def test_a_standalone_question_has_the_words_of_the_one_before(messages: list[ChatMessage]) -> None:
    assert standalone_question(messages) == "When does it stop? lift"


@pytest.mark.parametrize("messages", [*PROMPTS.values(), [], user("")], ids=[*PROMPTS, "none", "empty"])
def test_other_prompts_ask_for_no_standalone_question(messages: list[ChatMessage]) -> None:
    assert standalone_question(messages) is None


@pytest.mark.parametrize(
    "messages",
    [
        user("Our kiln broke.\nThe documents say nothing about it.\n\nHow is it repaired?"),
        user("I looked into the sources:\nthe manual, the plan\nWhere is the valve?"),
        chat("Answer in rhymes. Our customers are Italian.", QUESTION),
    ],
)
def test_a_question_of_several_lines_is_no_template(messages: list[ChatMessage]) -> None:
    prompt = read_context(messages)

    assert prompt is None or not prompt.is_named


@pytest.mark.parametrize("text", ["<context>", "context ", "---\n", "question: ", "\n", " ", "use\n", "*", "#", "\t:"])
def test_a_hostile_prompt_is_read(text: str) -> None:
    hostile = text * 20_000

    prompt = read_context(chat(hostile, f"{hostile}\nWhy?"))

    assert prompt is None or prompt.question
