"""Limits the questions that one ingress replica works on at once. Further ones are refused before any work.

Little's law: with N questions under way and X answered a second, a question takes N / X seconds. At full capacity X is
constant, so each further question only makes all of them slower, until answers come too late to be useful.
text-embeddings-inference limits its requests by permits in the same way.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry import metrics
from models.errors import OverloadedError

STAGE = "ingress"
MAX_QUESTIONS = 4096
LAST_WEIGHT = 0.05  # weight of the last question in the mean time of a question
MIN_RETRY_S, MAX_RETRY_S = 1.0, 60.0  # OpenAI's clients wait a minute at most


class AdmissionConfig(BaseModel):
    """The limit of one ingress replica."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_questions: int = Field(
        default=64,
        ge=1,
        le=MAX_QUESTIONS,
        description="Requests for answers, passages, vectors or scores at once; further ones get 429.",
    )


class Admission:
    """Gives out permits, one a question. Belongs to one event loop."""

    def __init__(self, config: Callable[[], AdmissionConfig], clock: Callable[[], float] = perf_counter) -> None:
        """`config` returns the present limit, which may change while questions are under way."""
        self._config, self._clock = config, clock
        self._mean_s = 0.0
        self.num_under_way = 0

    @property
    def retry_after_s(self) -> float:
        """Whole seconds until the questions under way have left: the mean time of the last questions."""
        return min(max(MIN_RETRY_S, math.ceil(self._mean_s)), MAX_RETRY_S)

    def check(self) -> None:
        """Raises OverloadedError if all permits are taken."""
        limit = self._config().max_questions
        metrics.ADMISSION_LIMIT.set(limit)
        if self.num_under_way >= limit:
            metrics.ADMISSION_REFUSED.inc()
            raise OverloadedError(STAGE, self.retry_after_s)

    def admit(self) -> AbstractContextManager[None]:
        """A permit, to hold until the answer has ended, a streamed one too. Enter it at once.

        Raises OverloadedError if all permits are taken.
        """
        self.check()
        return self._permit()

    @contextmanager
    def _permit(self) -> Iterator[None]:
        self.num_under_way += 1
        metrics.ADMISSION_ONGOING.set(self.num_under_way)
        start = self._clock()
        try:
            yield
        finally:
            self.num_under_way -= 1
            metrics.ADMISSION_ONGOING.set(self.num_under_way)
            self._mean_s += LAST_WEIGHT * (self._clock() - start - self._mean_s)
