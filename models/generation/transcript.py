"""A conversation written as one text: "User: … Assistant: … User: …"."""

import re
from collections.abc import Sequence

from models.types.generation import ChatMessage

# At the beginning of a line, or after a sentence: a transcript may be written in one line.
_TURN = re.compile(
    r"(?:^|(?<=[.?!。？！]\s))[ \t]{0,80}(user|human|question|assistant|ai|bot|answer)[ \t]{0,80}:[ \t]{0,80}",
    re.I | re.M,
)
_USERS = frozenset({"user", "human", "question"})


def read_transcript(text: str) -> Sequence[ChatMessage]:
    """The messages; empty if the text is no transcript."""
    turns = list(_TURN.finditer(text))
    if not turns or text[: turns[0].start()].strip():
        return ()
    ends = [turn.start() for turn in turns[1:]] + [len(text)]
    pairs = [(turn[1].lower(), text[turn.end() : end].strip()) for turn, end in zip(turns, ends, strict=True)]
    return [ChatMessage("user" if name in _USERS else "assistant", content) for name, content in pairs if content]
