"""Prompts that ask for a standalone question, as frameworks send them before they search."""

import re
from collections.abc import Sequence

from models.generation.follow_up import search_query
from models.generation.transcript import read_transcript
from models.types.generation import ChatMessage

MAX_CHARS = 100_000
_ASKS = re.compile(r"\bstandalone (?:question|query|message)\b", re.I)
_FOLLOW_UP = re.compile(
    r"^[ \t]{0,80}<?follow[ -]?up (?:input|question|message)>?[ \t]{0,80}:?\s{0,9}(?P<text>[^\n]*\S)", re.I | re.M
)
_HISTORY = re.compile(r"^[ \t]{0,80}<?(?:chat|conversation) history>?[ \t]{0,80}:?[ \t]{0,80}$", re.I | re.M)


def standalone_question(messages: Sequence[ChatMessage]) -> str | None:
    """The last question of the conversation, made complete.

    None if the prompt asks for something else, or has more than MAX_CHARS.
    """
    users = [message for message in messages if message.role == "user"]
    if not users or len(users[-1].content) > MAX_CHARS:
        return None
    follow_up, prompt = _FOLLOW_UP.search(users[-1].content), users[-1].content
    if _ASKS.search(prompt) and follow_up:
        history = _HISTORY.search(prompt)
        turns = read_transcript(prompt[history.end() : follow_up.start()]) if history else ()
        return search_query([*turns, ChatMessage("user", follow_up["text"])])
    if any(message.role == "system" and _ASKS.search(message.content) for message in messages):
        return search_query(messages)
    return None
