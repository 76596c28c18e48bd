"""POST /v1/responses/compact: a conversation made short, as an item that a later request sends in its place.

No model summarizes. The item has what the user and the assistant said, each message cut to its beginning; calls of
functions and searches are left out. Its content is opaque to clients, and packed, not secret.
"""

import json
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Any

from models.errors.requests import InvalidRequestError
from models.types.generation import ChatMessage

COMPACTION = "compaction"
MAX_CHARS = {"user": 2_000, "assistant": 500}  # of each message; a follow-up needs the user's words most
MAX_TURNS_BYTES = 200_000  # the newest turns that fit are kept
MAX_UNPACKED_BYTES = 256 * 1024
PROBLEM = "this is no content of /v1/responses/compact; send the item as it came"


def packed(messages: Sequence[ChatMessage]) -> str:
    """The newest messages of the user and the assistant, each cut to its beginning."""
    turns, num_bytes = list[tuple[str, str]](), 0
    for turn in reversed([message for message in messages if message.role in MAX_CHARS]):
        text = _beginning(turn.content, MAX_CHARS[turn.role])
        num_bytes += len(json.dumps((turn.role, text), ensure_ascii=False).encode()) + 2
        if num_bytes > MAX_TURNS_BYTES:
            break
        turns.append((turn.role, text))
    return b64encode(zlib.compress(json.dumps(turns[::-1], ensure_ascii=False).encode())).decode()


def unpacked(content: str) -> tuple[ChatMessage, ...]:
    """Raises InvalidRequestError for a content that `packed` did not make."""
    try:
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(b64decode(content, validate=True), MAX_UNPACKED_BYTES)
        turns: Any = json.loads(raw)
    except (Base64Error, zlib.error, ValueError, RecursionError):
        raise InvalidRequestError(PROBLEM, "input") from None
    if unpacking.unconsumed_tail or not isinstance(turns, list) or not all(map(_is_turn, turns)):
        raise InvalidRequestError(PROBLEM, "input")
    return tuple(ChatMessage(role, text) for role, text in turns)


def _is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, list)
        and len(turn) == 2
        and all(isinstance(each, str) for each in turn)
        and turn[0] in MAX_CHARS
        and bool(turn[1].strip())
    )


def _beginning(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[:size]}…"
