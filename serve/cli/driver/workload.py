"""The workload of the benchmarks: texts of a given number of tokens, request bodies, and questions from a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors.requests import InvalidRequestError

QUERY_TOKENS = (6, 14)  # ten in the mean, special tokens included
CHUNK_TOKENS = 256
CANDIDATE_TOKENS = (100, 140)
NUM_CANDIDATES = 30
SPECIAL_TOKENS = 2
LLM_PROMPT_WORDS = 64


class Words:
    """Draws words that are one token each in a WordPiece vocabulary, so that a text's length needs no counting."""

    def __init__(self, model: Path, seed: int = 0) -> None:
        lines = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self._words = [word for word in lines if len(word) > 2 and word.isascii() and word.isalpha()]
        self._generator = np.random.default_rng(seed)
        weights = 1 / np.arange(1, len(self._words) + 1)
        self._probabilities = weights / weights.sum()

    def text(self, num_words: int) -> str:
        places = self._generator.choice(len(self._words), num_words, p=self._probabilities)
        return " ".join(self._words[place] for place in places)

    def texts(self, count: int, tokens: tuple[int, int]) -> list[str]:
        """Texts of tokens[0] to tokens[1] tokens, both included, special tokens counted."""
        lengths = self._generator.integers(tokens[0], tokens[1] + 1, count) - SPECIAL_TOKENS
        return [self.text(int(length)) for length in lengths]

    def queries(self, count: int) -> list[str]:
        return self.texts(count, QUERY_TOKENS)

    def chunks(self, count: int) -> list[str]:
        return self.texts(count, (CHUNK_TOKENS, CHUNK_TOKENS))

    def candidates(self) -> list[str]:
        return self.texts(NUM_CANDIDATES, CANDIDATE_TOKENS)


def write_bodies(path: Path, bodies: Sequence[dict[str, object]]) -> Path:
    """Write one body per line, the format that the load drivers read."""
    path.write_text("\n".join(map(json.dumps, bodies)))
    return path


@dataclass
class QuestionRotation:
    """Questions for several loads, one after the other: each begins with the first question that was not sent yet.

    After the last question the first one follows.
    """

    questions: Sequence[str]
    path: Path
    num_sent: int = 0

    def write(self) -> Path:
        """Writes the bodies of the next load."""
        start = self.num_sent % len(self.questions)
        turned = [*self.questions[start:], *self.questions[:start]]
        return write_bodies(self.path, [{"query": question} for question in turned])


def embedding_bodies(
    texts: Sequence[str], texts_per_request: int, model: str, is_base64: bool
) -> list[dict[str, object]]:
    """As OpenAI's client sends them: base64, unless the server supports only lists."""
    form = {"encoding_format": "base64"} if is_base64 else {}
    starts = range(0, len(texts), texts_per_request)
    groups = [list(texts[start : start + texts_per_request]) for start in starts]
    return [{"model": model, "input": group[0] if texts_per_request == 1 else group, **form} for group in groups]


def rerank_bodies(pairs: Sequence[tuple[str, list[str]]], model: str) -> list[dict[str, object]]:
    """As Jina's and Cohere's clients send them."""
    return [{"model": model, "query": query, "documents": texts} for query, texts in pairs]


def chat_bodies(prompts: Sequence[str], model: str, max_tokens: int) -> list[dict[str, object]]:
    """Streams of exactly `max_tokens` tokens, with their usage at the end."""
    return [
        {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": max_tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        for prompt in prompts
    ]


def read_questions(path: Path) -> list[str]:
    """A question a line; blank lines and lines that start with # are skipped.

    Raises InvalidRequestError for a file that cannot be read or has no question.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path}: cannot be read: {error}") from None
    questions = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not questions:
        raise InvalidRequestError(f"{path} has no question; write a question a line")
    return questions
