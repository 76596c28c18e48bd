"""Two rankings of the same questions against each other: a run and a saved one, or a mode and what it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import InvalidRequestError
from serve.cli.eval.measures import MAIN_METRIC, Estimate, estimates
from serve.cli.eval.modes import PARENTS
from serve.cli.eval.run import ModeRun, Run, SetRun


@dataclass(frozen=True)
class Difference:
    """`new` minus `old` over the questions that both have: `change` is their mean difference, paired by question.

    `old` and `new` are means; `against` names what was compared with, another run or another mode.
    """

    set_name: str
    mode: str
    against: str
    metric: str
    num_queries: int
    old: float
    new: float
    change: Estimate

    @property
    def is_none(self) -> bool:
        return self.change.low == self.change.mean == self.change.high == 0

    @property
    def is_sure(self) -> bool:
        """Whether the 95 % interval of the change leaves out zero."""
        return self.change.low > 0 or self.change.high < 0

    def fell_by_more_than(self, tolerance: float) -> bool:
        """By the mean alone: the same questions of the same documents have no luck of the draw, so a fall is real here.

        The interval says whether other questions would see it too.
        """
        return self.change.mean < -tolerance


@dataclass(frozen=True)
class Comparison:
    """`notes`: what only one of the runs has, and what else keeps them apart, a line each."""

    differences: list[Difference]
    notes: list[str]


def check_documents(saved: Run, digests: dict[str, str]) -> None:
    """Raises InvalidRequestError if the saved run has a set of one of these names with another digest."""
    for one in saved.sets:
        digest = digests.get(one.name, one.digest)
        if digest != one.digest:
            detail = f"digest {one.digest}, here {digest}"
            raise InvalidRequestError(f"{one.name}: the saved run is of other documents ({detail}); save a new one")


def compare(old: Run, new: Run) -> Comparison:
    """Every set, mode and metric that both runs have.

    Raises InvalidRequestError if they have nothing in common, or a set of one name with other documents.
    """
    check_documents(old, {one.name: one.digest for one in new.sets})
    old_sets, new_sets = {one.name: one for one in old.sets}, {one.name: one for one in new.sets}
    notes = [*_only_in_one("question set", old_sets, new_sets), *_changed_conditions(old, new)]
    differences: list[Difference] = []
    for name in new_sets:
        if name in old_sets:
            differences += _compare_sets(old_sets[name], new_sets[name], notes)
    if not differences:
        raise InvalidRequestError("the two runs have no question set with a mode, a metric and a question in common")
    return Comparison(differences, notes)


def against_parents(measured: SetRun) -> list[Difference]:
    """nDCG@10 of each mode against each mode that it is made of, where both were measured."""
    pairs = [
        (mode, parent)
        for mode in measured.modes
        for parent in PARENTS.get(mode, ())
        if parent in measured.modes and MAIN_METRIC in measured.modes[mode].values
    ]
    places = list(range(len(measured.query_ids)))
    found: list[Difference] = []
    for mode, parent in pairs:
        old, new = measured.modes[parent], measured.modes[mode]
        found += _differences(measured.name, (mode, parent), (old, places), (new, places), [MAIN_METRIC])
    return found


def _compare_sets(old: SetRun, new: SetRun, notes: list[str]) -> list[Difference]:
    notes += _only_in_one(f"mode of {new.name}", old.modes, new.modes)
    old_places = {query_id: place for place, query_id in enumerate(old.query_ids)}
    common = [(old_places[query_id], place) for place, query_id in enumerate(new.query_ids) if query_id in old_places]
    if len(common) < max(len(old.query_ids), len(new.query_ids)):
        notes.append(
            f"{new.name}: {len(common)} questions are in both runs, of {len(old.query_ids)} and {len(new.query_ids)}"
        )
    if not common:
        return []
    before, now = [one for one, _ in common], [other for _, other in common]
    found: list[Difference] = []
    for mode in new.modes:
        if mode in old.modes:
            metrics = [metric for metric in new.modes[mode].values if metric in old.modes[mode].values]
            names = (mode, "saved run")
            found += _differences(new.name, names, (old.modes[mode], before), (new.modes[mode], now), metrics)
    return found


def _differences(
    set_name: str,
    names: tuple[str, str],
    old: tuple[ModeRun, list[int]],
    new: tuple[ModeRun, list[int]],
    metrics: Sequence[str],
) -> list[Difference]:
    """`old` and `new`: figures, and the places in them of the questions in common, pair by pair."""
    if not metrics:
        return []
    before, now = (np.array([run.values[metric] for metric in metrics])[:, places] for run, places in (old, new))
    means = zip(metrics, before.mean(axis=1).tolist(), now.mean(axis=1).tolist(), estimates(now - before), strict=True)
    return [Difference(set_name, *names, metric, now.shape[1], *figures) for metric, *figures in means]


def _only_in_one(
    kind: str, old: dict[str, SetRun] | dict[str, ModeRun], new: dict[str, SetRun] | dict[str, ModeRun]
) -> list[str]:
    return [
        *(f"{kind} {name}: only in the saved run" for name in old if name not in new),
        *(f"{kind} {name}: not in the saved run" for name in new if name not in old),
    ]


def _changed_conditions(old: Run, new: Run) -> list[str]:
    """Models and settings that differ: no reason not to compare, but perhaps the reason for a difference."""
    pairs = [("model of", old.models, new.models), ("setting", old.settings, new.settings)]
    return [
        f"{kind} {name}: {before.get(name)} in the saved run, {now.get(name)} here"
        for kind, before, now in pairs
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
