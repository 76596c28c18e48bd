"""The load of `ragserve bench tax` and `ragserve bench settings`: clients, durations and request bodies."""

from dataclasses import dataclass, replace
from pathlib import Path

from serve.cli.driver.workload import write_bodies

NUM_BODIES = 64


@dataclass(frozen=True)
class TaxPlan:
    """Numbers of clients, length of a turn, turns of each server, size of a body."""

    clients: tuple[int, ...]
    turn_s: float
    num_turns: int
    body_bytes: int

    def as_quick(self) -> "TaxPlan":
        return replace(self, clients=(4,), turn_s=0.5, num_turns=1)

    def write_bodies(self, folder: Path) -> Path:
        """A file with a body a line."""
        texts = (f"{number:04d}" + "x" * max(0, self.body_bytes - 4) for number in range(NUM_BODIES))
        return write_bodies(folder / "bodies.jsonl", [{"text": text} for text in texts])
