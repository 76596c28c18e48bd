"""The question and the context in a prompt that brings both, as the tutorials of RAG frameworks write it.

They put the retrieved texts into a template: "Context: … Question: … Answer:", between lines of dashes, in tags, or
into the system message, with the question as the last message. A prompt that refines an answer brings that as well.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.generation.prompt_labels import (
    CONTEXT_LABEL,
    END_LABEL,
    EXAMPLE_ANSWER,
    EXISTING_ANSWER,
    FENCE,
    INSTRUCTION,
    LABEL_ALONE,
    NAMES_CONTEXT,
    OPENING_TAG,
    QUESTION_LABEL,
    REFINES,
)
from models.types.generation import ChatMessage

_MARKER = re.compile(r"[ \t]*\[\d{1,3}\]")
_MIN_CONTEXT_WORDS = 3
MAX_CHARS = 100_000  # of the system messages, tools' results and last turns together


@dataclass(frozen=True)
class PromptContext:
    """A question, and the text to answer it from.

    `is_named`: the prompt is a template for sure. A system message speaks of a context, or the last message does and
    has a label before its question, or begins with an instruction.
    """

    question: str
    text: str
    is_named: bool = True


@dataclass(frozen=True)
class _Source:
    """The context of a message. `is_marked`: tags, lines or a label say where it is."""

    text: str
    is_marked: bool


def read_context(messages: Sequence[ChatMessage]) -> PromptContext | None:
    """None if the conversation has no question or brings no context.

    Tools' results are context, and so is an answer that is to be refined. Other answers are not. Where one message
    marks its context, unmarked text of system messages is none. More than MAX_CHARS are no context.
    """
    users = [place for place, message in enumerate(messages) if message.role == "user"]
    if not users or is_too_long(messages, users):
        return None
    last = users[-1]
    question, surroundings, existing = _read_question(messages, users)
    earlier = [message.content for message in messages[:last] if message.role == "system"]
    results = [message.content.strip() for message in messages if message.role == "tool"]
    sources = [_context_of(text) for text in (*earlier, surroundings)]
    is_marked = any(source.is_marked and source.text for source in sources)
    own = [source.text for source in sources if source.is_marked or not is_marked]
    text = "\n\n".join(text for text in (_MARKER.sub("", existing).strip(), *own, *results) if text)
    if not question or len(text.split()) < _MIN_CONTEXT_WORDS:
        return None
    prompt = messages[last].content
    is_template = bool(
        _labels(prompt) or INSTRUCTION.match(prompt) or REFINES.search(prompt) or OPENING_TAG.search(prompt)
    )
    names_context = is_marked or bool(NAMES_CONTEXT.search(surroundings))
    is_named = any(map(NAMES_CONTEXT.search, earlier)) or (is_template and names_context)
    return PromptContext(question, text, is_named)


def is_too_long(messages: Sequence[ChatMessage], users: Sequence[int]) -> bool:
    """Whether the messages that may hold a context are too long to be read here. `users`: the places of the user's."""
    first = users[-2:][0]
    read = (message for place, message in enumerate(messages) if place >= first or message.role in ("system", "tool"))
    return sum(len(message.content) for message in read) > MAX_CHARS


def _read_question(messages: Sequence[ChatMessage], users: Sequence[int]) -> tuple[str, str, str]:
    """The question, the text around it in its message, and the answer that is to be refined."""
    prompt = messages[users[-1]].content
    existing = EXISTING_ANSWER.search(prompt)
    if len(users) > 1 and REFINES.search(prompt) and not _labels(prompt):
        return messages[users[-2]].content.strip(), prompt, messages[users[-1] - 1].content
    return *_split(prompt), existing["text"] if existing else ""


def _labels(prompt: str) -> list[re.Match[str]]:
    labels = [*QUESTION_LABEL.finditer(prompt), *LABEL_ALONE.finditer(prompt)]
    return sorted(labels, key=lambda match: match.start())


def _split(prompt: str) -> tuple[str, str]:
    """The question of a message, and all that stands around it. Examples before it are left out."""
    labels = _labels(prompt)
    if labels:
        label = labels[-1]
        before = prompt[: label.start()]
        before = EXAMPLE_ANSWER.split(before)[-1] if len(labels) > 1 else before
        text = label.groupdict().get("inline") or label["text"]
        return text.strip(), before + "\n" + prompt[label.end() :]
    lines = [line for line in prompt.splitlines() if line.strip()]
    questions = [line for line in lines if line.rstrip().endswith(("?", "？"))]
    if len(lines) <= 1:
        return prompt.strip(), ""
    question = questions[-1] if questions else lines[-1]
    before, _, after = prompt.rpartition(question)
    return question.strip(), f"{before}\n{after}"


def _context_of(text: str) -> _Source:
    """The part of a message that is context: in tags, between fences, after a label, or all but the instructions."""
    tagged = list(_tagged(text))
    if tagged:
        return _Source("\n\n".join(tagged), is_marked=True)
    text = EXISTING_ANSWER.sub("", text).strip()
    fences, label = list(FENCE.finditer(text)), CONTEXT_LABEL.search(text)
    if fences and _opens(text, fences, label):
        end = fences[-1].start() if len(fences) > 1 else len(text)
        return _Source(_without_end(text[fences[0].end() : end]), is_marked=True)
    if label:
        return _Source(_without_instructions(_without_end(text[label.end() :])), is_marked=True)
    return _Source(_without_instructions(_without_end(text)), is_marked=False)


def _opens(text: str, fences: Sequence[re.Match[str]], label: re.Match[str] | None) -> bool:
    """Whether the first line of dashes begins the context, and is not between two documents."""
    before = text[: fences[0].start()]
    if label and label.end() <= len(before) and before[label.end() :].strip():
        return False
    return bool(before.strip()) or len(fences) > 1


def _tagged(text: str) -> Iterator[str]:
    """The texts between an opening tag and its closing tag, in order."""
    position, closed = 0, dict[str, int]()
    for opening in OPENING_TAG.finditer(text):
        tag = opening["tag"].lower()
        if opening.start() < position or closed.get(tag) == -1:
            continue
        end = closed[tag] = text.lower().find(f"</{tag}>", opening.end())
        if end >= 0:
            yield text[opening.end() : end].strip()
            position = end


def _without_end(text: str) -> str:
    end = END_LABEL.search(text)
    return (text[: end.start()] if end else text).strip()


def _without_instructions(text: str) -> str:
    """The text without the instructions before it, and without paragraphs that begin with one."""
    lines = text.splitlines()
    first = next((place for place, line in enumerate(lines) if not _is_instruction(line)), len(lines))
    paragraphs = re.split(r"\n[ \t]*\n", "\n".join(lines[first:]))
    return "\n\n".join(each.strip() for each in paragraphs if not _is_instruction(each))


def _is_instruction(text: str) -> bool:
    return not text.strip() or bool(INSTRUCTION.match(text))
