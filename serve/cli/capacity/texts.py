"""Random questions and passages for measurements. All texts differ, so no cache answers."""

from pathlib import Path

import numpy as np

import models.embedding

QUESTION_WORDS = 8
PASSAGE_WORDS = 90  # about 120 tokens


class Texts:
    """Random words of a text that ships. Never gives the same text twice."""

    def __init__(self, seed: int = 0) -> None:
        path = Path(models.embedding.__file__).with_name("calibration.txt")
        self._words = np.array(path.read_text(encoding="utf-8").split())
        self._rng = np.random.default_rng(seed)

    def questions(self, count: int) -> list[str]:
        return [self._text(QUESTION_WORDS) for _ in range(count)]

    def passages(self, count: int) -> list[str]:
        return [self._text(PASSAGE_WORDS) for _ in range(count)]

    def _text(self, num_words: int) -> str:
        return " ".join(self._rng.choice(self._words, num_words))
