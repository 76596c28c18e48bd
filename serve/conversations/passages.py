"""What is remembered, as passages: material to quote and to cite, never an instruction."""

import re
from collections.abc import Sequence

from models.types.chunks import Passage
from serve.conversations.recall import Recalled
from serve.pipelines.answering import Turn

# The names under which they are cited; `file_id` is the id of the item or of the fact.
CONVERSATION, USER, SUMMARY = "conversation", "user", "summary"
MAX_CHARS = 2_000  # of a message; its beginning
_MARKER = re.compile(r"[ \t]*\[\d{1,3}\]")  # of an earlier answer, whose passages are others


def to_passages(recalled: Recalled, summary: Turn | None = None) -> tuple[Passage, ...]:
    """The recalled messages, the best exchange first, then facts about the user and the summary.

    Their keys are negative, so that none is a chunk's.
    """
    named = [(CONVERSATION, turn) for exchange in recalled.exchanges for turn in exchange]
    named += [(USER, fact) for fact in recalled.facts]
    named += [(SUMMARY, summary)] if summary else []
    return tuple(_passage(-1 - place, name, turn) for place, (name, turn) in enumerate(named))


def texts_of(passages: Sequence[Passage]) -> str:
    return "\n\n".join(passage.text for passage in passages)


def _passage(key: int, name: str, turn: Turn) -> Passage:
    text = (_MARKER.sub("", turn.text) if turn.role == "assistant" else turn.text)[:MAX_CHARS]
    return Passage(key, turn.item_id, turn.item_id, name, text, 0, len(text))
