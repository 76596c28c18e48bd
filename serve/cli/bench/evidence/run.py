"""`ragserve bench evidence`: AUROC of the evidence and of its features, and the questions that it declines."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.generation.evidence import MIN_EVIDENCE, Features, probability
from models.types.arrays import FloatArray
from serve.cli.bench.evidence.cases import Case, CaseSizes, Kind, read_cases
from serve.cli.bench.evidence.fit import fit_weights
from serve.cli.driver.offline_search import ALIAS

SINGLE_FEATURES = ("passage_words", "sentence_words", "cosine", "relevance", "sentence", "size", "names", "value")
DECLINED_OFF_TOPIC = 0.95
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
SPLITS: tuple[tuple[Kind, Kind], ...] = (("answerable", "off topic"), ("answerable", "unanswerable"))


def run(folders: Sequence[Path], sizes: CaseSizes, has_fit: bool, embedder: str = ALIAS) -> Iterator[str]:
    """Two Markdown tables and the gate's cost, then the fitted weights if asked for."""
    cases = read_cases(folders, sizes, embedder)
    yield from _auroc_table(cases)
    yield ""
    yield from _declined_table(cases)
    yield ""
    yield from threshold_table(cases)
    yield ""
    yield from price(cases)
    yield costs(cases)
    if has_fit:
        yield ""
        yield from fit_weights(cases)


def auroc(positive: FloatArray, negative: FloatArray) -> float:
    """The chance that a positive score is above a negative one; ties count half."""
    higher = (positive[:, None] > negative[None]).mean()
    return float(higher + 0.5 * (positive[:, None] == negative[None]).mean())


def threshold_table(cases: Sequence[Case]) -> Iterator[str]:
    """What each threshold declines: of the answerable questions of each set, and of those off topic."""
    groups = dict[str, FloatArray]()
    for kind in ("answerable", "off topic"):
        for name in dict.fromkeys(case.questions for case in cases if case.kind == kind):
            groups[f"{name}, {kind}"] = _evidence(c for c in cases if (c.questions, c.kind) == (name, kind))
    groups["all off topic"] = _evidence(case for case in cases if case.kind == "off topic")
    yield f"| declined below | {' | '.join(groups)} |"
    yield "|---|" + "---|" * len(groups)
    for threshold in THRESHOLDS:
        yield f"| {threshold:g} | {' | '.join(_share(own < threshold) for own in groups.values())} |"


def price(cases: Sequence[Case]) -> Iterator[str]:
    """What it costs to decline a share of the off-topic questions: the answerable questions declined of each set."""
    off_topic = _evidence(case for case in cases if case.kind == "off topic")
    threshold = float(np.quantile(off_topic, DECLINED_OFF_TOPIC))
    shares = []
    for name in dict.fromkeys(case.questions for case in cases):
        own = _evidence(case for case in cases if case.questions == name and case.kind == "answerable")
        if len(own):
            shares.append(f"{name} {np.count_nonzero(own < threshold)} of {len(own)} ({_share(own < threshold)})")
    yield f"Of {len(off_topic)} off-topic questions {100 * DECLINED_OFF_TOPIC:g} % are declined below {threshold:.3f}."
    yield f"Answerable questions declined below it: {'; '.join(shares)}"


def _evidence(cases: Iterable[Case]) -> FloatArray:
    return np.array([probability(case.features) for case in cases], np.float32)


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
        shares = f"{_share(evidence < MIN_EVIDENCE)} | {_share(by_words < MIN_EVIDENCE)} | {evidence.mean():.2f} |"
        yield f"| {' | '.join(group)} | {len(own)} | {shares}"


def _share(is_declined: NDArray[np.bool_]) -> str:
    return f"{100 * is_declined.mean():.1f} %"
