"""What was checked, and the percentages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["operation", "request", "response", "error", "event"]
KINDS: tuple[Kind, ...] = ("operation", "request", "response", "error", "event")


@dataclass(frozen=True)
class Finding:
    """One check. `problem` is empty if the service does what the description says."""

    resource: str
    kind: Kind
    name: str
    problem: str = ""


@dataclass
class Findings:
    """Every check once: its name may come up several times, and one success is enough."""

    by_name: dict[tuple[str, Kind, str], Finding] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            key = (finding.resource, finding.kind, finding.name)
            if key not in self.by_name or self.by_name[key].problem:
                self.by_name[key] = finding

    def misses(self, resource: str) -> Iterator[Finding]:
        for finding in sorted(self.by_name.values(), key=lambda each: (KINDS.index(each.kind), each.name)):
            if finding.resource == resource and finding.problem:
                yield finding

    def share(self, resource: str | None, kind: Kind | None = None) -> tuple[int, int]:
        """How many checks succeeded, of how many."""
        chosen = [
            finding
            for finding in self.by_name.values()
            if resource in (None, finding.resource) and kind in (None, finding.kind)
        ]
        return sum(not finding.problem for finding in chosen), len(chosen)
