"""Whether answers are whole: what the last ones of this process lost."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NUM_ANSWERS = 20
WINDOW_S = 60.0  # an older answer says nothing of now
LAST = 5  # answers that must be whole again, most of them
WHOLE = ("embed_fallback", "rerank_fallback", "generate_fallback")  # by another model of the stage's list


@dataclass(frozen=True)
class Losses:
    """Of the last `num_answers` answers: how many lost each stage, and the stages that are missing now."""

    num_answers: int
    by_stage: dict[str, int]
    missing: tuple[str, ...]


class RecentAnswers:
    """The last answers of this process. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: deque[tuple[float, frozenset[str]]] = deque(maxlen=NUM_ANSWERS)

    def add(self, degraded: Sequence[str]) -> None:
        self._answers.append((self._clock(), frozenset(degraded)))

    def losses(self) -> Losses:
        """A stage is missing if most of the last answers lost it."""
        since = self._clock() - WINDOW_S
        answers = [stages for at, stages in self._answers if at >= since]
        by_stage = Counter(stage for stages in answers for stage in stages)
        last = answers[-LAST:]
        missing = [
            stage
            for stage in by_stage
            if stage not in WHOLE and 2 * sum(stage in stages for stages in last) > len(last)
        ]
        return Losses(len(answers), dict(by_stage), tuple(sorted(missing)))
