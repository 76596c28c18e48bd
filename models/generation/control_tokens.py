"""Texts that a chat template or a tokenizer reads as the border of a turn, and how a document's own lose that power."""

import re
from dataclasses import dataclass
from typing import Any

from models.generation.markers import WORD_JOINER

# As chat templates write them: <|im_start|>, <start_of_turn>, </s>, <think>, [INST], [/INST].
_MARKER = re.compile(r"</?[^<>\s{}'\"]{1,60}>|\[/?[A-Z_]{2,30}\]")
# A template may put them together from the name of a role, so their form alone suffices.
_ROLE = r"<\|\w{1,60}\|>"


@dataclass(frozen=True)
class ControlTokens:
    """`pattern` finds them in a text."""

    pattern: re.Pattern[str] = re.compile(_ROLE)

    @staticmethod
    def of(tokenizer: Any) -> "ControlTokens":
        """Those of a Hugging Face tokenizer: its special tokens, and the markers in its chat template."""
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        texts = {str(token) for token in added if token.special}
        template = getattr(tokenizer, "chat_template", None)
        texts |= set(_MARKER.findall(template if isinstance(template, str) else ""))
        longest_first = sorted((text for text in texts if len(text) > 1), key=lambda text: (-len(text), text))
        return ControlTokens(re.compile("|".join([*map(re.escape, longest_first), _ROLE])))

    def escape(self, text: str) -> str:
        """`text` with a word joiner in each: it looks the same, and is plain text for the model."""
        return self.pattern.sub(lambda match: f"{match[0][0]}{WORD_JOINER}{match[0][1:]}", text)
