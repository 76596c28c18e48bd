"""The rows of a report: what was measured, and what was not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.budgets import Absent, quantile
from loadtests.recorder import Recorder, Sample, Samplings

NOT_MEASURED, TOO_FEW = "not measured", "too few"
MEDIAN = 0.5
HEAD = ("name", "count", "errors", "degraded", "per second", "p50 s", "p95 s", "p99 s")
Row = tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a run exceeded, one line each; and what it did not measure."""

    problems: tuple[str, ...] = ()
    absent: Absent = field(default_factory=Absent)

    def sentences(self) -> list[str]:
        """What the run says of its budgets. Nothing is within a budget that was not measured."""
        lines = list(self.problems)
        if not lines:
            lines.append("Every budget that was measured is met.")
        names = [*self.absent.endpoints, *(f"stage {name}" for name in self.absent.stages)]
        return [*lines, f"Not measured: {', '.join(names)}."] if names else lines


def rows(samplings: Samplings, duration_s: float, names: Sequence[str] = ()) -> list[Row]:
    """A row a name; a rate is what succeeded, over the run's whole time. `names` without a sample get a row too."""
    missing = [name for name in names if name not in samplings]
    return sorted(
        [_row(name, samples, duration_s) for name, samples in samplings.items()]
        + [(name, "0", "0", "0", *[NOT_MEASURED] * 4) for name in missing]
    )


def stages_and_first_texts(recorder: Recorder) -> Samplings:
    return recorder.stages | {f"{name}, first text": samples for name, samples in recorder.first_texts.items()}


def aligned(lines: Sequence[Row]) -> str:
    """A table for a terminal."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )


def _row(name: str, samples: list[Sample], duration_s: float) -> Row:
    good = [sample for sample in samples if not sample.failed]
    seconds = [sample.seconds for sample in good]
    num_degraded = sum(bool(sample.degraded) for sample in good)
    quantiles = [_quantile_text(seconds, fraction) for fraction in (0.5, 0.95, 0.99)]
    rate = f"{len(good) / duration_s:.2f}" if duration_s else NOT_MEASURED
    return (name, str(len(samples)), str(len(samples) - len(good)), str(num_degraded), rate, *quantiles)


def _quantile_text(seconds: list[float], fraction: float) -> str:
    """The p99 of 18 calls is their maximum: a quantile needs a call beyond it."""
    if not seconds:
        return NOT_MEASURED
    if fraction > MEDIAN and len(seconds) < round(1 / (1 - fraction)):
        return TOO_FEW
    return f"{quantile(seconds, fraction):.4f}"
