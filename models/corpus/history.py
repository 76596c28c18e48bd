"""How much of a conversation is read to continue it: its newest items, within a number and a length."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.errors.requests import InvalidRequestError

CALL, OUTPUT = "function_call", "function_call_output"
READ = ("message", CALL, OUTPUT, "compaction")
TEXT_FIELDS = ("content", "arguments", "output", "encrypted_content")
UNREAD_CHARS = 16
TOO_LONG = "the conversation is longer than api.max_texts_chars; begin a new one, or send `truncation: auto`"


@dataclass(frozen=True)
class HistoryLimit:
    """`max_chars`: as num_chars_of counts. `is_whole`: a longer conversation is refused, not cut."""

    max_items: int
    max_chars: int
    is_whole: bool = False

    def newest(self, newest_first: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The newest items within the limits, oldest first. The first that exceeds them ends it.

        No result of a function stays without its call. Raises InvalidRequestError with `is_whole`.
        """
        items, num_chars = list[dict[str, Any]](), 0
        for item in newest_first:
            num_chars += num_chars_of(item)
            if len(items) >= self.max_items or num_chars > self.max_chars:
                if self.is_whole:
                    raise InvalidRequestError(TOO_LONG, "truncation")
                return _without_lone_outputs(items[::-1])
            items.append(item)
        return items[::-1]


def num_chars_of(item: dict[str, Any]) -> int:
    """The characters of its texts. What no model reads, such as the results of a search, counts a sixteenth."""
    if item.get("type") not in READ:
        return len(json.dumps(item, ensure_ascii=False)) // UNREAD_CHARS
    return sum(_num_chars(item.get(name)) for name in TEXT_FIELDS)


def _num_chars(content: Any) -> int:
    """Of a text, or of the parts of one."""
    if isinstance(content, str):
        return len(content)
    return sum(len(block.get("text") or "") for block in content or ())


def _without_lone_outputs(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    calls = {item["call_id"] for item in items if item.get("type") == CALL}
    return [item for item in items if item.get("type") != OUTPUT or item["call_id"] in calls]
