"""What names an incident, and after how many seconds: `ragserve top`, the dashboard, an alert."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from loadtests.incidents.prometheus import Prometheus
from loadtests.incidents.service import Service
from serve.cli.top.samples import Interval, Reading
from serve.cli.top.stages import bottleneck, stage_rows

POLL_S = 2.0
MIN_SHARE = 0.8  # of a question's time; more than any stage has without a fault, also a language model
MIN_SECONDS = 0.4  # at p95; a stage of the default models takes less without a fault
Check = Callable[[], bool]


@dataclass(frozen=True)
class Row:
    """`seconds`: from the fault to its name; None if it was not named in time."""

    incident: str
    eye: str
    seconds: float | None

    def to_markdown(self) -> str:
        seconds = "not within the limit" if self.seconds is None else f"{self.seconds:.0f}"
        return f"| {self.incident} | {self.eye} | {seconds} |"


HEADER = "| incident | named by | after s |\n|---|---|---|"


def watch(incident: str, eyes: Mapping[str, Check], limit_s: float) -> list[Row]:
    """Look with all eyes until each has named the incident, or the limit is over."""
    start, seconds = time.monotonic(), dict[str, float]()
    while len(seconds) < len(eyes) and time.monotonic() - start < limit_s:
        for eye, has_named in eyes.items():
            if eye not in seconds and has_named():
                seconds[eye] = time.monotonic() - start
        time.sleep(POLL_S)
    return [Row(incident, eye, seconds.get(eye)) for eye in eyes]


def wait_until_calm(eyes: Mapping[str, Check], limit_s: float) -> None:
    """Wait until no eye names the incident before it begins. Raises AssertionError after the limit."""
    end = time.monotonic() + limit_s
    while early := [eye for eye, has_named in eyes.items() if has_named()]:
        assert time.monotonic() < end, f"named before the fault: {early}"
        time.sleep(POLL_S)


class Top:
    """What `ragserve top` says between two looks."""

    def __init__(self, service: Service) -> None:
        self._url = service.metrics_url
        self._last = self._read()
        self.line = ""

    def names(self, stage: str) -> bool:
        reading = self._read()
        interval, self._last = Interval(self._last, reading), reading
        rows = stage_rows(interval)
        self.line = bottleneck(interval, rows)
        share = sum(row.share for row in rows if row.stage == stage)
        return self.line.startswith(f"{stage} is the bottleneck") and share > MIN_SHARE

    def _read(self) -> Reading:
        page = httpx.get(self._url, timeout=30, trust_env=False).raise_for_status().text
        return Reading.of([page])


def dashboard(prometheus: Prometheus, stage: str) -> Check:
    """Whether the panel of the slowest stages has this one on top, clearly above its usual time."""

    def names() -> bool:
        slowest, seconds = prometheus.slowest_stage()
        return slowest == stage and seconds > MIN_SECONDS

    return names


def serves_model(url: str, stage: str, model: str) -> Check:
    """Whether /readyz says that the stage serves this model."""

    def serves() -> bool:
        stages = httpx.get(f"{url}/readyz", timeout=30, trust_env=False).json()["stages"]
        return bool(stages[stage]["model"] == model)

    return serves


def is_ready(url: str) -> bool:
    """Whether /readyz says that answers are whole."""
    return httpx.get(f"{url}/readyz", timeout=30, trust_env=False).is_success


def alert(prometheus: Prometheus, *names: str, **labels: str) -> Check:
    """Whether an alert of these names fires with these labels."""
    return lambda: any(each["alertname"] in names and labels.items() <= each.items() for each in prometheus.firing())
