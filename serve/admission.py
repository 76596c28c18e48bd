"""How many questions one ingress replica takes on at once: others are refused before any work, and told when to return.

Little's law: with N under way and X answered a second, a question takes N / X seconds. Past the capacity, X is what it
is, so every further question under way is only longer waiting for all, until answers come too late to be of use. The
permits of text-embeddings-inference do the same.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import perf_counter

from pydantic import BaseModel, ConfigDict, Field

from models.errors import OverloadedError

STAGE = "ingress"
MAX_QUESTIONS = 4096
RECENT = 0.05  # weight of the last question in the mean time of one
MIN_RETRY_S, MAX_RETRY_S = 1.0, 60.0  # OpenAI's clients do not wait longer than a minute


class AdmissionConfig(BaseModel):
    """What one ingress replica takes on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_questions: int = Field(
        default=64,
        ge=1,
        le=MAX_QUESTIONS,
        description="Requests for answers, passages, vectors or scores under way at once; past it a 429.",
    )


class Admission:
    """Permits, one a question. Belongs to one event loop."""

    def __init__(self, config: AdmissionConfig, clock: Callable[[], float] = perf_counter) -> None:
        self._config, self._clock = config, clock
        self._mean_s = 0.0
        self.num_under_way = 0

    @property
    def retry_after_s(self) -> float:
        """Whole seconds in which those under way will have left: as long as one takes, on the mean of late."""
        return min(max(MIN_RETRY_S, math.ceil(self._mean_s)), MAX_RETRY_S)

    def admit(self) -> AbstractContextManager[None]:
        """What a question holds as long as it is under way, its streamed answer included; enter it at once.

        Raises OverloadedError where there is no room.
        """
        if self.num_under_way >= self._config.max_questions:
            raise OverloadedError(STAGE, self.retry_after_s)
        return self._permit()

    @contextmanager
    def _permit(self) -> Iterator[None]:
        self.num_under_way += 1
        start = self._clock()
        try:
            yield
        finally:
            self.num_under_way -= 1
            self._mean_s += RECENT * (self._clock() - start - self._mean_s)
