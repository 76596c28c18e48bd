"""Fits the weights of the evidence: logistic regression, each group of cases with the same weight."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.generation.evidence import Features
from models.generation.evidence_weights import MINILM, WEIGHTS
from serve.cli.bench.evidence.cases import Case

RIDGE = 1e-3
NUM_STEPS = 50

Matrix = NDArray[np.float64]


def fit_weights(cases: Sequence[Case]) -> Iterator[str]:
    """Lines with the intercept and the weight of each feature, for each set of features that may be there.

    A question without a feature, a keyword for example, counts only for the sets that lack it.
    """
    for names in WEIGHTS[MINILM]:
        chosen = [case for case in cases if set(names) <= set(case.features.measured)]
        if len({case.kind == "answerable" for case in chosen}) < 2:
            continue
        rows = np.array([_only(case.features, names).vector() for case in chosen])
        labels = np.array([case.kind == "answerable" for case in chosen], float)
        intercept, *weights = logistic(rows, labels, group_weights(chosen))
        title = f"words, size{''.join(f', {name}' for name in names)}"
        yield f"{title}: intercept {intercept:.3f}, weights {', '.join(f'{weight:.3f}' for weight in weights)}"


def _only(features: Features, names: tuple[str, ...]) -> Features:
    """The features of words and size, and the measured ones in `names`."""
    return replace(features.words, **{name: getattr(features, name) for name in names})


def group_weights(cases: Sequence[Case]) -> Matrix:
    """Answerable and other questions weigh alike, and so do the sets of each kind."""
    groups = [(case.kind == "answerable", case.kind, case.questions, case.corpus) for case in cases]
    sizes, num_groups = Counter(groups), Counter(group[0] for group in set(groups))
    return np.array([1 / (sizes[group] * num_groups[group[0]]) for group in groups])


def logistic(rows: Matrix, labels: Matrix, weights: Matrix) -> Matrix:
    """Intercept and weights (1 + features,) by Newton's method, with a small ridge."""
    design = np.column_stack([np.ones(len(rows)), rows])
    coefficients, ridge = np.zeros(design.shape[1]), RIDGE * np.eye(design.shape[1])
    ridge[0, 0] = 0
    for _ in range(NUM_STEPS):
        predicted = 1 / (1 + np.exp(-design @ coefficients))
        gradient = design.T @ (weights * (labels - predicted)) - ridge @ coefficients
        curvature = (design * (weights * predicted * (1 - predicted))[:, None]).T @ design + ridge
        coefficients += np.linalg.solve(curvature, gradient)
    return coefficients
