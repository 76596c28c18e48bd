"""Compare two rankings of the same questions: a run with a saved run, or a mode with the modes it combines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors.requests import InvalidRequestError
from serve.cli.eval.measures import MAIN_METRIC, Estimate, estimates
from serve.cli.eval.modes import PARENTS
from serve.cli.eval.run import ModeRun, Run, SetRun


@dataclass(frozen=True)
class Difference:
    """The mean of `new` minus `old` over the questions of both, paired by question: `change`.

    `old` and `new` are means. `against` names the baseline: the saved run or another mode.
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
    def is_zero(self) -> bool:
        return self.change.low == self.change.mean == self.change.high == 0

    @property
    def is_significant(self) -> bool:
        """Whether the 95 % interval of the change excludes zero."""
        return self.change.low > 0 or self.change.high < 0

    def fell_by_more_than(self, tolerance: float) -> bool:
        """Judge by the mean alone: questions and documents are the same, so a fall is not a sampling error.

        The interval says whether other questions would show it too.
        """
        return self.change.mean < -tolerance


@dataclass(frozen=True)
class Comparison:
    """`notes`: one line for each set, mode, model or setting that only one run has or that differs."""

    differences: list[Difference]
    notes: list[str]


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: a mode's values, and the positions of the common questions in them."""

    mode_run: ModeRun
    positions: list[int]

    def values(self, metrics: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Shape (metrics, common questions)."""
        return np.array([self.mode_run.values[metric] for metric in metrics])[:, self.positions]


def check_documents(saved: Run, digests: dict[str, str]) -> None:
    """Raises InvalidRequestError if a set of the saved run has the name but not the digest of a set in `digests`."""
    for saved_set in saved.sets:
        digest = digests.get(saved_set.name, saved_set.digest)
        if digest != saved_set.digest:
            detail = f"digest {saved_set.digest}, now {digest}"
            raise InvalidRequestError(
                f"{saved_set.name}: the saved run used other documents ({detail}); save a new run"
            )


def compare(old: Run, new: Run) -> Comparison:
    """Compare every set, mode and metric that both runs have.

    Raises InvalidRequestError if the runs have nothing in common, or if a set's documents changed.
    """
    check_documents(old, {new_set.name: new_set.digest for new_set in new.sets})
    old_sets = {old_set.name: old_set for old_set in old.sets}
    new_sets = {new_set.name: new_set for new_set in new.sets}
    notes = [*_only_in_one("question set", old_sets, new_sets), *_changed_conditions(old, new)]
    differences: list[Difference] = []
    for name in new_sets:
        if name in old_sets:
            differences += _compare_sets(old_sets[name], new_sets[name], notes)
    if not differences:
        raise InvalidRequestError("the two runs have no question set with a mode, a metric and a question in common")
    return Comparison(differences, notes)


def against_parents(measured: SetRun) -> list[Difference]:
    """nDCG@10 of each mode against each mode it combines, where both were measured."""
    positions = list(range(len(measured.query_ids)))
    differences: list[Difference] = []
    for mode, mode_run in measured.modes.items():
        for parent in PARENTS.get(mode, ()):
            if parent in measured.modes and MAIN_METRIC in mode_run.values:
                old, new = _Side(measured.modes[parent], positions), _Side(mode_run, positions)
                differences += _differences(measured.name, (mode, parent), old, new, [MAIN_METRIC])
    return differences


def _compare_sets(old: SetRun, new: SetRun, notes: list[str]) -> list[Difference]:
    """Appends to `notes`."""
    notes += _only_in_one(f"mode of {new.name}", old.modes, new.modes)
    old_positions = {query_id: position for position, query_id in enumerate(old.query_ids)}
    common_ids = [query_id for query_id in new.query_ids if query_id in old_positions]
    if len(common_ids) < max(len(old.query_ids), len(new.query_ids)):
        sizes = f"the saved run has {len(old.query_ids)}, this run {len(new.query_ids)}"
        notes.append(f"{new.name}: compared on {len(common_ids)} questions; {sizes}")
    if not common_ids:
        return []
    before = [old_positions[query_id] for query_id in common_ids]
    new_positions = {query_id: position for position, query_id in enumerate(new.query_ids)}
    after = [new_positions[query_id] for query_id in common_ids]
    differences: list[Difference] = []
    for mode, mode_run in new.modes.items():
        if mode in old.modes:
            metrics = [metric for metric in mode_run.values if metric in old.modes[mode].values]
            sides = _Side(old.modes[mode], before), _Side(mode_run, after)
            differences += _differences(new.name, (mode, "saved run"), *sides, metrics)
    return differences


def _differences(
    set_name: str, names: tuple[str, str], old: _Side, new: _Side, metrics: Sequence[str]
) -> list[Difference]:
    """`names`: the mode and its baseline."""
    if not metrics:
        return []
    before, after = old.values(metrics), new.values(metrics)
    changes = estimates(after - before)
    means = zip(metrics, before.mean(axis=1).tolist(), after.mean(axis=1).tolist(), changes, strict=True)
    return [Difference(set_name, *names, metric, after.shape[1], *figures) for metric, *figures in means]


def _only_in_one(
    kind: str, old: dict[str, SetRun] | dict[str, ModeRun], new: dict[str, SetRun] | dict[str, ModeRun]
) -> list[str]:
    return [
        *(f"{kind} {name}: only in the saved run" for name in old if name not in new),
        *(f"{kind} {name}: not in the saved run" for name in new if name not in old),
    ]


def _changed_conditions(old: Run, new: Run) -> list[str]:
    """Models and settings that differ. They do not prevent a comparison, but may explain its result."""
    pairs = [("model of", old.models, new.models), ("setting", old.settings, new.settings)]
    return [
        f"{kind} {name}: {before.get(name)} in the saved run, {after.get(name)} in this run"
        for kind, before, after in pairs
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
