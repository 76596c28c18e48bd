"""What a ranking is worth: ir-measures' figures for each query, and how sure their mean is."""

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
NUM_RESAMPLES, RESAMPLES_AT_ONCE = 2000, 100
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over queries, and the ends of its 95 % interval: how it may fall for other queries of the kind."""

    mean: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


def metrics(ks: Sequence[int]) -> dict[str, Measure]:
    """By name: nDCG@10 and MRR@10, and recall and precision at each of `ks`."""
    at_ten: dict[str, Measure] = {MAIN_METRIC: nDCG @ 10, "MRR@10": RR @ 10}
    return at_ten | {f"recall@{k}": R @ k for k in ks} | {f"precision@{k}": P @ k for k in ks}


def measure(rankings: Rankings, qrels: Qrels, ks: Sequence[int]) -> dict[str, list[float]]:
    """Each metric's value for each query, in the order of `rankings`, which hold document ids, best first.

    As trec_eval has it: nDCG's gains are linear, a query that found nothing counts 0, and so does a document that
    nobody judged.
    """
    measured = metrics(ks)
    judged = {query_id: qrels[query_id] for query_id in rankings}
    found = {query_id: scored(ranking) for query_id, ranking in rankings.items()}
    values: dict[tuple[str, str], float] = {}
    for one in ir_measures.iter_calc(list(measured.values()), judged, found):
        values[str(one.measure), one.query_id] = one.value
    return {name: [values[str(metric), query_id] for query_id in rankings] for name, metric in measured.items()}


def scored(ranking: Sequence[str]) -> dict[str, float]:
    """A score for each document that keeps the order: trec_eval sorts by score alone, and breaks ties by id."""
    return {document_id: float(len(ranking) - place) for place, document_id in enumerate(ranking)}


def estimates(rows: NDArray[np.float64]) -> list[Estimate]:
    """The mean of each row of (metrics, queries), with its interval by percentile bootstrap over the queries.

    Every row sees the same resamples, so differences of two runs (their paired values subtracted) fit as well.
    The same values give the same interval. Source: Efron and Tibshirani 1993, chapter 13.
    """
    num_queries, rng = rows.shape[1], np.random.default_rng(0)
    means = np.concatenate([_resampled(rng, num_queries) @ rows.T for _ in range(NUM_RESAMPLES // RESAMPLES_AT_ONCE)])
    tail = (1 - CONFIDENCE) / 2
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    ends = zip(rows.mean(axis=1).tolist(), lows.tolist(), highs.tolist(), strict=True)
    # Rounding may put the end of an interval without width on the wrong side of the mean.
    return [Estimate(mean, min(low, mean), max(mean, high)) for mean, low, high in ends]


def _resampled(rng: np.random.Generator, num_queries: int) -> NDArray[np.float64]:
    """(resamples, queries): the share of each query in a sample of as many, drawn with replacement."""
    drawn = rng.integers(num_queries, size=(RESAMPLES_AT_ONCE, num_queries))
    return np.stack([np.bincount(one, minlength=num_queries) for one in drawn]) / num_queries
