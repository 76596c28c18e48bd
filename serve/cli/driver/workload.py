"""What `ragserve bench models` sends: texts of known length, drawn from the model's own words, and requests of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

QUERY_TOKENS = (6, 14)  # ten in the mean, special tokens included
CHUNK_TOKENS = 256
CANDIDATE_TOKENS = (100, 140)
NUM_CANDIDATES = 30
SPECIAL_TOKENS = 2
LLM_PROMPT_WORDS = 64


class Words:
    """Words that are one token each, in a WordPiece vocabulary, so that a text's length is known without counting."""

    def __init__(self, model: Path, seed: int = 0) -> None:
        lines = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self._words = [word for word in lines if len(word) > 2 and word.isascii() and word.isalpha()]
        self._chance = np.random.default_rng(seed)
        shares = 1 / np.arange(1, len(self._words) + 1)
        self._shares = shares / shares.sum()

    def text(self, num_words: int) -> str:
        places = self._chance.choice(len(self._words), num_words, p=self._shares)
        return " ".join(self._words[place] for place in places)

    def texts(self, count: int, tokens: tuple[int, int]) -> list[str]:
        """Lengths from tokens[0] to tokens[1], both included, special tokens counted."""
        lengths = self._chance.integers(tokens[0], tokens[1] + 1, count) - SPECIAL_TOKENS
        return [self.text(int(length)) for length in lengths]

    def queries(self, count: int) -> list[str]:
        return self.texts(count, QUERY_TOKENS)

    def chunks(self, count: int) -> list[str]:
        return self.texts(count, (CHUNK_TOKENS, CHUNK_TOKENS))

    def candidates(self) -> list[str]:
        return self.texts(NUM_CANDIDATES, CANDIDATE_TOKENS)


def write_bodies(path: Path, bodies: Sequence[dict[str, object]]) -> Path:
    """A body a line: what the load driver reads."""
    path.write_text("\n".join(map(json.dumps, bodies)))
    return path


def embedding_bodies(texts: Sequence[str], a_request: int, model: str, is_base64: bool) -> list[dict[str, object]]:
    """As OpenAI's client sends them: base64 unless the server knows lists alone."""
    form = {"encoding_format": "base64"} if is_base64 else {}
    parts = [list(texts[start : start + a_request]) for start in range(0, len(texts), a_request)]
    return [{"model": model, "input": part[0] if a_request == 1 else part, **form} for part in parts]


def rerank_bodies(pairs: Sequence[tuple[str, list[str]]], model: str) -> list[dict[str, object]]:
    """As Jina's and Cohere's clients send them."""
    return [{"model": model, "query": query, "documents": texts} for query, texts in pairs]


def chat_bodies(prompts: Sequence[str], model: str, max_tokens: int) -> list[dict[str, object]]:
    """Streams of exactly `max_tokens` tokens, whose usage comes at the end."""
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
