"""A time by which a request must be answered."""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A time on this process's monotonic clock. Never send it to another process: send `remaining_s()`."""

    at: float

    @staticmethod
    def after(budget_s: float) -> "Deadline":
        return Deadline(time.monotonic() + budget_s)

    @staticmethod
    def never() -> "Deadline":
        return Deadline(math.inf)

    def remaining_s(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def at_most(self, budget_s: float) -> "Deadline":
        """Return the earlier of this deadline and `budget_s` from now: a stage's budget within the request's."""
        return min(self, Deadline.after(budget_s), key=lambda deadline: deadline.at)
