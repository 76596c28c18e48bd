"""How far the latest scores are from earlier ones: the population stability index, and Kolmogorov and Smirnov's D."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.corpus.score_references import Numbers, ScoreReferences
from serve.quality.config import DriftConfig

NUM_BINS = 10
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Divergence:
    """psi: below 0.1 small, above 0.25 large (Siddiqi, Credit Risk Scorecards, 2006). ks: 0 to 1, the largest distance
    of the two cumulative distributions.
    """

    psi: float
    ks: float


def divergence(reference: Values, recent: Values) -> Divergence:
    """Compare two samples, neither of them empty."""
    return Divergence(population_stability_index(reference, recent), kolmogorov_smirnov(reference, recent))


def population_stability_index(reference: Values, recent: Values) -> float:
    """The sum of (p - q) * ln(p / q) over bins: tenths of the reference, as its ties allow, and what lies outside.

    Half an observation is added to each bin, so that an empty one does not make it infinite.
    """
    inner = np.quantile(reference, np.linspace(0, 1, NUM_BINS + 1)[1:], method="inverted_cdf")
    edges = np.unique([np.nextafter(reference.min(), -np.inf), *inner])
    p, q = (_bin_fractions(sample, edges) for sample in (reference, recent))
    return float(np.sum((p - q) * np.log(p / q)))


def _bin_fractions(sample: Values, edges: Values) -> Values:
    """The fraction in each bin. A bin ends with its edge; the last one is open."""
    counts = np.bincount(np.searchsorted(edges, sample, "left"), minlength=len(edges) + 1) + 0.5
    return counts / counts.sum()


def kolmogorov_smirnov(reference: Values, recent: Values) -> float:
    """The largest distance of the two cumulative distributions."""
    points = np.concatenate([reference, recent])
    p, q = (np.searchsorted(np.sort(sample), points, "right") / len(sample) for sample in (reference, recent))
    return float(np.max(np.abs(p - q)))


class Drift:
    """Compares a window of the latest scores with the reference, which is in the database.

    Without a reference, the first scores become it: those of the replica that gathers enough of them first. For one
    thread: its methods read and write the database.
    """

    def __init__(self, references: ScoreReferences, config: DriftConfig) -> None:
        self._references, self._config = references, config
        self._recent: dict[str, deque[float]] = {}
        self._gathered: dict[str, list[float]] = {}
        self._num_gathered = 0
        self._reference: dict[str, Numbers] | None = None

    @property
    def reference_size(self) -> int:
        """Scored answers of the reference; while it is gathered, those that this replica has."""
        return self._config.reference_size if self._reference else self._num_gathered

    def add(self, scores: Mapping[str, float]) -> None:
        """Add the scores of an answer. Raises DatabaseUnavailableError, also if it is locked."""
        if self._reference is None:
            self._reference = self._references.get(self._config.reference)
        if not self._reference:
            self._gather(scores)
            return
        for name, score in scores.items():
            self._recent.setdefault(name, deque(maxlen=self._config.window)).append(score)

    def divergences(self) -> dict[str, Divergence]:
        """By score, of those whose window is full and whose reference has as many numbers as half a window."""
        return {
            name: divergence(np.array(self._reference[name]), np.array(recent))
            for name, recent in self._recent.items()
            if self._reference
            and len(recent) == self._config.window
            and len(self._reference.get(name, ())) >= self._config.window / 2
        }

    def _gather(self, scores: Mapping[str, float]) -> None:
        for name, score in scores.items():
            self._gathered.setdefault(name, []).append(score)
        self._num_gathered += 1
        if self._num_gathered >= self._config.reference_size:
            self._reference = self._references.add(self._config.reference, self._gathered)
            self._gathered = {}
