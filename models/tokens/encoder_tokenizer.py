"""Encodings from texts, pairs of texts and token ids, with a model's own fast tokenizer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors.requests import InvalidRequestError
from models.tokens.encoding import Encoding, TextInput, TokenIds

if TYPE_CHECKING:
    from tokenizers import Encoding as RustEncoding
    from tokenizers import Tokenizer as RustTokenizer

ANY_TEXT = "a"
# A text of more characters is cut before it is tokenized. The first number suffices for text in words. The second is
# for long runs of spaces, and for words of over 100 characters, which BERT reads as one token.
CHARS_PER_TOKEN = (32, 512)


class EncoderTokenizer:
    """Truncates at `max_tokens`, special tokens included. Safe to share between threads: it has no mutable state."""

    def __init__(self, tokenizer: "RustTokenizer", max_tokens: int, pad_id: int = 0) -> None:
        """Copies `tokenizer`: its owner may change its truncation and padding with each call."""
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_tokens = max_tokens
        self._num_tokens = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.pad_id = pad_id
        sample = self._tokenizer.encode(ANY_TEXT)
        inner = [place for place, special in enumerate(sample.special_tokens_mask) if not special]
        self._opening, self._closing = sample.ids[: inner[0]], sample.ids[inner[-1] + 1 :]

    def encode(self, inputs: Sequence[TextInput], prefix: str = "", with_starts: bool = False) -> list[Encoding]:
        """One encoding per input, `prefix` before each. Raises InvalidRequestError for unknown token ids.

        `with_starts` finds where the tokens of texts begin, which takes 0.4 ms more for a text of 170 tokens.
        """
        texts = [self._shortened(prefix + text) for text in inputs if isinstance(text, str)]
        encode = self._tokenizer.encode_batch if with_starts else self._tokenizer.encode_batch_fast
        encoded = iter(encode(texts))
        prefix_ids = self._prefix_ids(prefix)
        return [
            self._of_text(next(encoded), len(prefix_ids), len(prefix) if with_starts else None)
            if isinstance(text, str)
            else Encoding(self._wrap(prefix_ids, text), num_prefix_tokens=len(prefix_ids))
            for text in inputs
        ]

    def encode_with_spans(self, text: str) -> tuple[Encoding, NDArray[np.int64]]:
        """The text's encoding, and each token's characters (n, 2), start and end; (0, 0) for a special token."""
        encoded = self._tokenizer.encode(self._shortened(text))
        return Encoding(self._array(encoded.ids)), np.array(encoded.offsets, np.int64).reshape(-1, 2)

    def encode_pairs(self, first: str, seconds: Sequence[str]) -> list[Encoding]:
        """One encoding per pair. If a pair is too long, the longer of its texts is truncated first."""
        first = self._shortened(first)
        pairs = [(first, self._shortened(text)) for text in seconds]
        return [self._typed(encoded) for encoded in self._tokenizer.encode_batch(pairs)]

    def encode_between(self, opening: str, texts: Sequence[str], closing: str) -> list[Encoding]:
        """One encoding per text, without special tokens: `opening`, the text, truncated if needed, and `closing`."""
        first, last = self._inner_ids(opening), self._inner_ids(closing)
        first = first[: self._max_tokens - len(last)]
        room = self._max_tokens - len(first) - len(last)
        encoded = self._tokenizer.encode_batch_fast(list(map(self._shortened, texts)), add_special_tokens=False)
        return [Encoding(self._array([*first, *text.ids[:room], *last])) for text in encoded]

    def token_spans(self, text: str, prefix: str = "") -> NDArray[np.int64]:
        """The characters of `text` (n, 2), start and end, that each of its tokens comes from, as in `encode`."""
        _, spans = self.encode_with_spans(prefix + text)
        return np.maximum(self.own(spans, len(self._prefix_ids(prefix))) - len(prefix), 0)

    def own(self, tokens: Any, num_prefix_tokens: int = 0) -> Any:
        """The rows of `tokens`, one per token of an encoding, without special tokens and without those of a prefix."""
        return self.inner(tokens)[num_prefix_tokens:]

    def inner(self, tokens: Any) -> Any:
        """The rows of `tokens`, one per token of an encoding, without the special tokens around the text."""
        return tokens[len(self._opening) : len(tokens) - len(self._closing)]

    def _shortened(self, text: str) -> str:
        """The text without most of what truncation drops: a tokenizer reads all of a text, however long."""
        for chars_per_token in CHARS_PER_TOKEN:
            if len(text) <= chars_per_token * self._max_tokens:
                return text
            start = text[: chars_per_token * self._max_tokens]
            if len(self._tokenizer.encode(start).overflowing) > 1:  # so the cut is far from any token in use
                return start
        return start

    def _of_text(self, encoded: "RustEncoding", num_prefix_tokens: int, prefix_chars: int | None) -> Encoding:
        ids = self._array(encoded.ids)
        if prefix_chars is None or len(ids) != len(encoded.ids):
            return Encoding(ids, num_prefix_tokens=num_prefix_tokens)
        starts = np.array([start for start, _ in encoded.offsets], np.int64) - prefix_chars
        return Encoding(ids, num_prefix_tokens=num_prefix_tokens, starts=np.maximum(starts, 0))

    def _prefix_ids(self, prefix: str) -> list[int]:
        """Without the space at its end: SentencePiece and byte-level BPE read that as a part of the next word."""
        return self._inner_ids(prefix.rstrip())

    def _inner_ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(self._shortened(text), add_special_tokens=False).ids if text else []

    def _wrap(self, prefix_ids: list[int], ids: Sequence[int]) -> TokenIds:
        if len(ids) and not 0 <= min(ids) <= max(ids) < self._num_tokens:
            unknown = next(token_id for token_id in ids if not 0 <= token_id < self._num_tokens)
            raise InvalidRequestError(f"{unknown} is not a token id of this model; use 0 to {self._num_tokens - 1}")
        room = self._max_tokens - len(self._opening) - len(self._closing)
        return self._array([*self._opening, *[*prefix_ids, *ids[:room]][:room], *self._closing])

    def _typed(self, encoded: "RustEncoding") -> Encoding:
        return Encoding(self._array(encoded.ids), np.array(encoded.type_ids, np.int32))

    def _array(self, ids: list[int]) -> TokenIds:
        # An empty text has no tokens if the tokenizer adds no special ones, but a model needs at least one.
        return np.array(ids or [self.pad_id], np.int32)


def pad(rows: Sequence[TokenIds], filler: int) -> NDArray[np.int64]:
    """`rows` as (len(rows), longest) int64, with `filler` at the end of shorter rows."""
    padded = np.full((len(rows), max(map(len, rows))), filler, np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return padded
