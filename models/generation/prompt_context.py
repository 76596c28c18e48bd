"""The question and the context in a prompt that brings both, as the tutorials of RAG frameworks write it.

They put the retrieved texts into a template: "Context: … Question: … Answer:", between lines of dashes, in tags, or
into the system message, with the question as the last message.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.types import ChatMessage

_QUESTION_LABEL = re.compile(
    r"^[ \t]*#*[ \t]*(?:the )?(?:user(?:'s)? )?(?:question|query)(?: is)?[ \t]*:[ \t]*(?P<text>[^\n]*\S)", re.I | re.M
)
_LABEL_ALONE = re.compile(r"^[ \t]*#*[ \t]*(?:user )?(?:question|query)[ \t]*:[ \t]*\n+(?P<text>[^\n]*\S)", re.I | re.M)
_FENCE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,}|#{3,}|`{3,}|\"{3})[ \t]*\w*[ \t]*$", re.M)
_TAGS = re.compile(r"<(?P<tag>context|documents?|passages?|sources?)>(?P<text>.*?)</(?P=tag)>", re.I | re.S)
_CONTEXT_LABEL = re.compile(
    r"^[ \t]*#*[ \t]*(?:(?:retrieved|relevant|given|provided|supporting|following) )*"
    r"(?:context|documents?|passages?|sources?|background|information|excerpts?)(?: information)?[ \t]*:[ \t]*",
    re.I | re.M,
)
_END_LABEL = re.compile(r"^[ \t]*#*[ \t]*(?:(?:helpful |final |your )?answer|response)[ \t]*:[ \t]*$", re.I | re.M)
_INSTRUCTION = re.compile(
    r"^(?:you are|you're|your (?:task|job|role)|answer|use|given|based on|always|never|if|do not|don't|keep|only|"
    r"please|act as|some rules|avoid|return|respond|be |the following|context information|below)\b",
    re.I,
)
_MIN_CONTEXT_WORDS = 3


@dataclass(frozen=True)
class PromptContext:
    """A question, and the text to answer it from."""

    question: str
    text: str


def read_context(messages: Sequence[ChatMessage]) -> PromptContext | None:
    """None if the conversation has no question or brings no context. Tools' results are context, answers are not."""
    users = [place for place, message in enumerate(messages) if message.role == "user"]
    if not users:
        return None
    last = messages[users[-1]].content
    question, remainder = _split(last)
    earlier = [message.content for message in messages[: users[-1]] if message.role in ("system", "tool")]
    later = [message.content for message in messages[users[-1] + 1 :] if message.role == "tool"]
    texts = [_context_of(text) for text in (*earlier, remainder, *later)]
    context = "\n\n".join(text for text in texts if text)
    return PromptContext(question, context) if question and len(context.split()) >= _MIN_CONTEXT_WORDS else None


def _split(prompt: str) -> tuple[str, str]:
    """The question of a message, and all that stands around it."""
    labels = [*_QUESTION_LABEL.finditer(prompt), *_LABEL_ALONE.finditer(prompt)]
    if labels:
        label = max(labels, key=lambda match: match.start())
        return label["text"].strip(), prompt[: label.start()] + "\n" + prompt[label.end() :]
    lines = [line for line in prompt.splitlines() if line.strip()]
    questions = [line for line in lines if line.rstrip().endswith("?")]
    if len(lines) <= 1:
        return prompt.strip(), ""
    question = questions[-1] if questions else lines[-1]
    before, _, after = prompt.rpartition(question)
    return question.strip(), f"{before}\n{after}"


def _context_of(text: str) -> str:
    """The part of a message that is context: in tags, between fences, after a label, or all but the instructions."""
    tagged = [match["text"].strip() for match in _TAGS.finditer(text)]
    if tagged:
        return "\n\n".join(tagged)
    fences = list(_FENCE.finditer(text))
    if len(fences) >= 2:
        return text[fences[0].end() : fences[-1].start()].strip()
    end = _END_LABEL.search(text)
    text = text[: end.start()] if end else text
    label = _CONTEXT_LABEL.search(text)
    if label:
        return text[label.end() :].strip()
    return "\n\n".join(paragraph for paragraph in _paragraphs(text) if not _INSTRUCTION.match(paragraph))


def _paragraphs(text: str) -> list[str]:
    return [paragraph.strip() for paragraph in re.split(r"\n[ \t]*\n", text) if paragraph.strip()]
