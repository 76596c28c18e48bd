"""Metrics of rankings per query, by ir-measures, and confidence intervals of their means."""

from collections.abc import Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np
from ir_measures import RR, P, R, nDCG
from ir_measures.measures import Measure
from numpy.typing import NDArray

from serve.cli.driver.question_set import Qrels

Rankings = dict[str, tuple[str, ...]]
MAIN_METRIC = "nDCG@10"
NUM_RESAMPLES, RESAMPLES_PER_BATCH = 2000, 100
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over queries, and the bounds of its 95 % interval over samples of similar queries."""

    mean: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


def metrics(ks: Sequence[int]) -> dict[str, Measure]:
    """nDCG@10, MRR@10, and recall and precision at each of `ks`, by name."""
    at_ten: dict[str, Measure] = {MAIN_METRIC: nDCG @ 10, "MRR@10": RR @ 10}
    return at_ten | {f"recall@{k}": R @ k for k in ks} | {f"precision@{k}": P @ k for k in ks}


def measure(rankings: Rankings, qrels: Qrels, ks: Sequence[int]) -> dict[str, list[float]]:
    """Each metric's value per query, in the order of `rankings` (document ids by query, best first).

    As in trec_eval, nDCG's gains are linear; a query without hits counts 0, and so does an unjudged document.
    """
    measured = metrics(ks)
    judged = {query_id: qrels[query_id] for query_id in rankings}
    scores = {query_id: scored(ranking) for query_id, ranking in rankings.items()}
    values: dict[tuple[str, str], float] = {}
    for metric in ir_measures.iter_calc(list(measured.values()), judged, scores):
        values[str(metric.measure), metric.query_id] = metric.value
    return {name: [values[str(measure), query_id] for query_id in rankings] for name, measure in measured.items()}


def scored(ranking: Sequence[str]) -> dict[str, float]:
    """Scores that keep the order of the ranking: trec_eval sorts by score, and breaks ties by id."""
    return {document_id: float(len(ranking) - rank) for rank, document_id in enumerate(ranking)}


def estimates(rows: NDArray[np.float64]) -> list[Estimate]:
    """The mean of each row, with its interval by percentile bootstrap over the queries. Shape (metrics, queries).

    All rows share the resamples, so rows may also be paired differences of two runs. The same values always give the
    same interval. Source: Efron and Tibshirani 1993, chapter 13.
    """
    num_queries, rng = rows.shape[1], np.random.default_rng(0)
    means = np.concatenate([_resampled(rng, num_queries) @ rows.T for _ in range(NUM_RESAMPLES // RESAMPLES_PER_BATCH)])
    tail = (1 - CONFIDENCE) / 2
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    ends = zip(rows.mean(axis=1).tolist(), lows.tolist(), highs.tolist(), strict=True)
    # Rounding may put a bound of an interval without width on the wrong side of the mean.
    return [Estimate(mean, min(low, mean), max(mean, high)) for mean, low, high in ends]


def _resampled(rng: np.random.Generator, num_queries: int) -> NDArray[np.float64]:
    """Weight of each query in samples drawn with replacement. Shape (resamples, queries)."""
    samples = rng.integers(num_queries, size=(RESAMPLES_PER_BATCH, num_queries))
    return np.stack([np.bincount(sample, minlength=num_queries) for sample in samples]) / num_queries
