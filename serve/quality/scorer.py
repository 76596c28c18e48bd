"""Scores a sample of the answers in the background, and compares their scores with earlier ones."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Mapping

from deployments.telemetry.metrics.quality import (
    ANSWER_SCORE,
    SAMPLED_ANSWERS,
    SCORE_KS,
    SCORE_PSI,
    SCORE_REFERENCE_SIZE,
)
from models.corpus.score_references import ScoreReferences
from models.errors.storage import DatabaseUnavailableError
from serve.pipelines.answering import Answered
from serve.pipelines.wakeup import Wakeup
from serve.quality.config import ScoringConfig
from serve.quality.drift import Drift
from serve.quality.scores import score_answer
from serve.quality.watched_answering import WatchedAnswer

MAX_WAITING = 64  # answers; further ones of the sample are left out
PAUSE_S = 5.0
logger = logging.getLogger(__name__)


class Scorer:
    """Takes a sample of the answers, and scores them, one after the other, in a thread."""

    def __init__(self, config: ScoringConfig, references: ScoreReferences) -> None:
        self._config, self._references = config, references
        self._drift = Drift(references, config.drift)
        self._waiting: deque[Answered] = deque()
        self._wakeup = Wakeup()

    def configure(self, config: ScoringConfig) -> None:
        """Other settings of the drift start its window anew."""
        if config.drift != self._config.drift:
            self._drift = Drift(self._references, config.drift)
        self._config = config

    def observe(self, answer: WatchedAnswer) -> None:
        """As AnswerObserver."""
        if random.random() >= self._config.share:
            return
        if len(self._waiting) >= MAX_WAITING:
            SAMPLED_ANSWERS.labels("dropped").inc()
            return
        self._waiting.append(answer.answered)
        self._wakeup.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._wakeup.wait(PAUSE_S)
            while self._waiting:
                await asyncio.to_thread(self._score, self._waiting.popleft())

    def _score(self, answered: Answered) -> None:
        scores = score_answer(answered)
        for name, score in scores.items():
            ANSWER_SCORE.labels(name).observe(score)
        self._compare(scores)
        SAMPLED_ANSWERS.labels("scored" if scores else "unscored").inc()

    def _compare(self, scores: Mapping[str, float]) -> None:
        drift = self._drift
        try:
            if scores:
                drift.add(scores)
        except DatabaseUnavailableError as error:
            logger.warning("the scores of an answer are left out of the drift: %s", error)
        SCORE_REFERENCE_SIZE.set(drift.reference_size)
        for name, divergence in drift.divergences().items():
            SCORE_PSI.labels(name).set(divergence.psi)
            SCORE_KS.labels(name).set(divergence.ks)
