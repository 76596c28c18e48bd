"""The tokens of a text, to cut chunks that fit a model."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer as RustTokenizer

from models.errors.model_failures import ModelLoadError

# BERT reads a word of over 100 characters as one unknown token. To bound the size of chunks, such a token counts like
# English, at about four characters a token. Real vocabularies have no token longer than 32 characters.
LONGEST_TOKEN_CHARS = 32
CHARS_PER_TOKEN = 4
# The library's encodings take some 150 bytes a character until they are read: a batch bounds how many exist at once.
MAX_BATCH_CHARS = 256 * 1024


class Tokenizer(Protocol):
    """Splits text into an embedding model's tokens."""

    def token_starts(self, texts: list[str]) -> list[list[int]]:
        """For each text the first character of each token, in rising order, without special tokens."""


class FastTokenizer:
    """A model's own tokenizer, from the `tokenizer.json` of a Hugging Face model. Safe to share between threads."""

    def __init__(self, tokenizer: RustTokenizer) -> None:
        tokenizer.no_truncation()  # many files have the truncation of training, which would drop the end
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    def token_starts(self, texts: list[str]) -> list[list[int]]:
        starts: list[list[int]] = [[] for _ in texts]
        for batch in _batches(texts):
            pieces = [texts[piece.text_index][piece.start : piece.end] for piece in batch]
            encodings = self._tokenizer.encode_batch(pieces, add_special_tokens=False)
            for piece, encoding in zip(batch, encodings, strict=True):
                starts[piece.text_index] += (piece.start + start for start in _starts(encoding.offsets))
        return starts


class WordTokenizer:
    """Words and punctuation marks as tokens, for tests and for models without a tokenizer."""

    def token_starts(self, texts: list[str]) -> list[list[int]]:
        return [_starts([match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]) for text in texts]


def load_tokenizer(folder: Path) -> FastTokenizer:
    """The tokenizer of a model's folder. Raises ModelLoadError if `tokenizer.json` is missing or unreadable."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelLoadError(folder.name, "its folder has no tokenizer.json")
    try:
        # from_buffer raises ValueError for invalid files; from_file and from_str raise a bare Exception.
        return FastTokenizer(RustTokenizer.from_buffer(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ModelLoadError(folder.name, f"its tokenizer.json is unreadable: {error}") from error


@dataclass(frozen=True)
class _Piece:
    """Characters `start` to `end` of one of the texts."""

    text_index: int
    start: int
    end: int


def _batches(texts: list[str]) -> Iterator[list[_Piece]]:
    """The texts in order, in batches of at most MAX_BATCH_CHARS characters; a long text is cut at white space."""
    batch: list[_Piece] = []
    num_chars = 0
    for text_index, text in enumerate(texts):
        for start, end in _cuts(text):
            if batch and num_chars + end - start > MAX_BATCH_CHARS:
                yield batch
                batch, num_chars = [], 0
            batch.append(_Piece(text_index, start, end))
            num_chars += end - start
    if batch:
        yield batch


def _cuts(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > MAX_BATCH_CHARS:
        last_space = text.rfind(" ", start + 1, start + MAX_BATCH_CHARS)
        end = last_space if last_space > 0 else start + MAX_BATCH_CHARS
        yield start, end
        start = end
    yield start, len(text)


def _starts(offsets: list[tuple[int, int]]) -> list[int]:
    starts: list[int] = []
    for start, end in offsets:
        if end - start > LONGEST_TOKEN_CHARS:
            starts.extend(range(start, end, CHARS_PER_TOKEN))
        else:
            starts.append(start)
    return starts
