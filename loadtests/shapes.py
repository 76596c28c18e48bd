"""The number of users over time: ramp, step, spike and soak. Every shape ends by itself."""

from collections.abc import Callable
from dataclasses import dataclass

Users = Callable[[float], float]


@dataclass(frozen=True)
class Shape:
    """`users_at` maps the fraction of the duration (0 to 1) to the fraction of the peak (0 to 1)."""

    name: str
    help: str
    users_at: Users

    def users(self, elapsed_s: float, duration_s: float, peak: int) -> int | None:
        """Users at `elapsed_s`, at least 1; None when the test has ended."""
        if elapsed_s >= duration_s:
            return None
        return max(1, round(self.users_at(elapsed_s / duration_s) * peak))


def _ramp(progress: float) -> float:
    return min(1.0, progress / 0.8)


def _step(progress: float) -> float:
    return 1.0 if 1 / 3 <= progress < 2 / 3 else 0.2


def _spike(progress: float) -> float:
    return 1.0 if 0.4 <= progress < 0.5 else 0.1


def _soak(_: float) -> float:
    return 1.0


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("ramp", "from one user to the peak, then at the peak for a fifth of the time", _ramp),
        Shape("step", "a fifth of the peak, then the peak, then a fifth, each for a third of the time", _step),
        Shape("spike", "a tenth of the peak, with the peak for a tenth of the time", _spike),
        Shape("soak", "always the peak", _soak),
    )
}
