"""`ragserve bench evidence`: AUROC of the evidence and of its features, and the questions that it declines."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from models.generation.evidence import MIN_EVIDENCE, Features, probability
from models.types import FloatArray
from serve.cli.bench.evidence.cases import Case, CaseSizes, Kind, read_cases
from serve.cli.bench.evidence.fit import fit_weights
from serve.cli.driver.offline_search import ALIAS

SINGLE_FEATURES = ("passage_words", "sentence_words", "cosine", "relevance", "sentence", "size", "names", "value")
SPLITS: tuple[tuple[Kind, Kind], ...] = (("answerable", "off topic"), ("answerable", "unanswerable"))


def run(folders: Sequence[Path], sizes: CaseSizes, has_fit: bool, embedder: str = ALIAS) -> Iterator[str]:
    """Two Markdown tables and the gate's cost, then the fitted weights if asked for."""
    cases = read_cases(folders, sizes, embedder)
    yield from _auroc_table(cases)
    yield ""
    yield from _declined_table(cases)
    yield ""
    yield costs(cases)
    if has_fit:
        yield ""
        yield from fit_weights(cases)


def auroc(positive: FloatArray, negative: FloatArray) -> float:
    """The chance that a positive score is above a negative one; ties count half."""
    higher = (positive[:, None] > negative[None]).mean()
    return float(higher + 0.5 * (positive[:, None] == negative[None]).mean())


def costs(cases: Sequence[Case]) -> str:
    """The CPU time of the gate for a question: median and 95th percentile."""
    columns = {"first": [case.first_ms for case in cases], "passages read before": [case.again_ms for case in cases]}
    figures = (f"{name} {np.median(ms):.2f} (p95 {np.quantile(ms, 0.95):.2f})" for name, ms in columns.items())
    return f"ms of CPU a question: {'; '.join(figures)}"


def _auroc_table(cases: Sequence[Case]) -> Iterator[str]:
    unanswerable = {case.questions for case in cases if case.kind == "unanswerable"}
    columns = ["all | off topic", *(f"{name} | unanswerable" for name in sorted(unanswerable))]
    yield "| AUROC | answerable against off topic |" + "".join(f" {name} |" for name in columns[1:])
    yield "|---|" + "---|" * len(columns)
    for name, score in _scores().items():
        own = [_auroc_of(cases, score, SPLITS[0], None)]
        own += [_auroc_of(cases, score, SPLITS[1], each) for each in sorted(unanswerable)]
        yield f"| {name} |" + "".join(f" {value:.3f} |" for value in own)


def _auroc_of(
    cases: Sequence[Case], score: Callable[[Features], float], split: tuple[Kind, Kind], questions: str | None
) -> float:
    chosen = [case for case in cases if questions in (None, case.questions)]
    positive, negative = (
        np.array([score(case.features) for case in chosen if case.kind == kind], np.float32) for kind in split
    )
    return auroc(positive, negative) if len(positive) and len(negative) else float("nan")


def _scores() -> dict[str, Callable[[Features], float]]:
    """The evidence, the evidence by words alone, and each feature."""
    singles = {name: _feature(name) for name in SINGLE_FEATURES}
    return {"evidence": probability, "evidence, words alone": lambda features: probability(features.words), **singles}


def _feature(name: str) -> Callable[[Features], float]:
    return lambda features: float(getattr(features, name) or 0.0)


def _declined_table(cases: Sequence[Case]) -> Iterator[str]:
    yield f"| questions | over | kind | number | declined below {MIN_EVIDENCE:g} | by words alone | mean evidence |"
    yield "|---|---|---|---|---|---|---|"
    for group in dict.fromkeys((case.questions, case.corpus, case.kind) for case in cases):
        own = [case.features for case in cases if (case.questions, case.corpus, case.kind) == group]
        evidence = np.array([probability(features) for features in own])
        by_words = np.array([probability(features.words) for features in own])
        shares = f"{_declined(evidence)} | {_declined(by_words)} | {evidence.mean():.2f} |"
        yield f"| {' | '.join(group)} | {len(own)} | {shares}"


def _declined(evidence: FloatArray) -> str:
    return f"{100 * (evidence < MIN_EVIDENCE).mean():.1f} %"
