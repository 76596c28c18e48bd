"""A follow-up question completed by a language model: what the model reads, and what of its answer counts."""

import re
from collections.abc import Sequence

from models.generation.control_tokens import ControlTokens
from models.generation.relevance import STOP_WORDS
from models.generation.words import stem, words
from models.prompts.prompt_set import InstructionTexts
from models.types.generation import ChatMessage

MAX_TOKENS = 64
MAX_CHARS = 400  # of what is searched
MAX_TURN_CHARS = 240  # of each earlier turn: names are at its beginning
MAX_READ_CHARS = 10_000  # of each turn: a longer one is cut before its words are told
NUM_TURNS = 5  # the last message, and two questions with their answers
MIN_SHARED = 0.5  # of the words with a subject, in the conversation too: less is invented

_LABEL = re.compile(r"^\W*(?:(?:rewritten |standalone |user(?:'s)? )?(?:question|query|user|message)\s*:)?\s*", re.I)
_CONTROLS = ControlTokens()


def rewriting_messages(messages: Sequence[ChatMessage], texts: InstructionTexts) -> list[ChatMessage]:
    """The prompt. The conversation is one message, so that none of its turns is an instruction."""
    lines = [f"{turn.role.title()}: {one_line(turn.content)}" for turn in _last_turns(messages)]
    examples = [
        ChatMessage(role, text)
        for example in texts.examples
        for role, text in (("user", example.user), ("assistant", example.assistant))
    ]
    return [ChatMessage("system", texts.instructions), *examples, ChatMessage("user", "\n".join(lines))]


def read_rewritten(text: str, messages: Sequence[ChatMessage]) -> str | None:
    """The question in a model's answer; None if it has none, is too long, or asks about something else."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    question = _LABEL.sub("", lines[0], count=1).strip(" \"'“”*") if lines else ""
    if not question or len(question) > MAX_CHARS:
        return None
    stems = {stem(word) for turn in _last_turns(messages) for word in words(turn.content[:MAX_READ_CHARS])}
    subjects = [stem(word) for word in words(question) if word not in STOP_WORDS]
    num_shared = sum(word in stems for word in subjects)
    return question if subjects and num_shared >= MIN_SHARED * len(subjects) else None


def _last_turns(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    turns = [message for message in messages if message.role in ("user", "assistant") and message.content.strip()]
    return turns[-NUM_TURNS:]


def one_line(text: str, max_chars: int = MAX_TURN_CHARS) -> str:
    """A turn in one line, without the power to begin another one."""
    line = " ".join(_CONTROLS.escape(text[:MAX_READ_CHARS]).split())
    return line if len(line) <= max_chars else f"{line[:max_chars]}…"
