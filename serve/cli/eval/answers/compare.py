"""Compare a run with a saved one, and with the gates of `--check`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors.requests import InvalidRequestError
from serve.cli.eval.answers.cases import KINDS
from serve.cli.eval.answers.run import AnswerRun, AnswersOfSet
from serve.cli.eval.answers.scores import METRICS
from serve.cli.eval.compare import Difference
from serve.cli.eval.measures import estimates

DEFAULT_GATES = (
    "answered=0.95",
    "off topic/declined=0.9",
    "small talk/declined=0.95",
    "first question/gold answer=0.75",
    "faithfulness=0.95",
)


@dataclass(frozen=True)
class Gate:
    """The mean of `metric` must be at least `least` for cases of `kind`; None: of every kind."""

    kind: str | None
    metric: str
    least: float

    @staticmethod
    def parse(text: str) -> "Gate":
        """`METRIC=VALUE` or `KIND/METRIC=VALUE`. Raises InvalidRequestError."""
        name, _, value = text.rpartition("=")
        kind, _, metric = name.rpartition("/")
        kind, metric = kind.strip(), metric.strip()
        if metric not in METRICS or (kind and kind not in KINDS):
            choices = f"metrics: {', '.join(METRICS)}; kinds: {', '.join(KINDS)}"
            raise InvalidRequestError(f"{text!r} is not METRIC=VALUE or KIND/METRIC=VALUE; {choices}", "gate")
        try:
            least = float(value)
        except ValueError:
            raise InvalidRequestError(f"{text!r}: {value!r} is not a number", "gate") from None
        if not 0 <= least <= 1:
            raise InvalidRequestError(f"{text!r}: the value must be from 0 to 1", "gate")
        return Gate(kind or None, metric, least)


def below(run: AnswerRun, gates: Sequence[Gate]) -> list[str]:
    """A line for each mean below its gate. A gate for a kind replaces those of every kind."""
    return [
        f"{measured.name}, {kind}: {metric} is {mean:.3f}; the gate is {gate.least:g}"
        for measured in run.sets
        for kind, metric, mean in _means(measured)
        for gate in _gate(gates, kind, metric)
        if mean < gate.least
    ]


def compare_answers(old: AnswerRun, new: AnswerRun) -> list[Difference]:
    """Each metric of both runs, paired by case. Raises InvalidRequestError if they share none, or other documents."""
    old_sets = {each.name: each for each in old.sets}
    differences = []
    for measured in new.sets:
        before = old_sets.get(measured.name)
        if before is not None and before.digest != measured.digest:
            raise InvalidRequestError(f"{measured.name}: the saved run used other documents; save a new run", "compare")
        differences += [] if before is None else list(_differences(before, measured))
    if not differences:
        raise InvalidRequestError("the two runs have no set with a kind, a metric and a case in common", "compare")
    return differences


def _differences(old: AnswersOfSet, new: AnswersOfSet) -> Iterator[Difference]:
    for kind in new.kinds.keys() & old.kinds.keys():
        for metric, values in new.kinds[kind].values.items():
            before = old.kinds[kind].values.get(metric, {})
            shared = [case_id for case_id in values if case_id in before]
            if shared:
                rows = np.array([[before[case_id], values[case_id]] for case_id in shared])
                [change] = estimates((rows[:, 1] - rows[:, 0])[None])
                was, now = rows.mean(axis=0).tolist()
                yield Difference(new.name, kind, "saved run", metric, len(shared), was, now, change)


def _means(measured: AnswersOfSet) -> Iterator[tuple[str, str, float]]:
    for kind, cases in measured.kinds.items():
        for metric, estimate in cases.estimates.items():
            yield kind, metric, estimate.mean


def _gate(gates: Sequence[Gate], kind: str, metric: str) -> list[Gate]:
    """The last gate that applies, if there is one."""
    of_metric = [gate for gate in gates if gate.metric == metric]
    own = [gate for gate in of_metric if gate.kind == kind] or [gate for gate in of_metric if gate.kind is None]
    return own[-1:]
