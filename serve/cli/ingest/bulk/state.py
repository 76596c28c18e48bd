"""How far a bulk run has come, and how fast it is."""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TextIO

WINDOW_S = 30.0  # rates are those of the last half minute


@dataclass
class Tally:
    """Counts documents: those that are done are searchable, unchanged or failed."""

    searchable: int = 0
    unchanged: int = 0
    failed: int = 0
    chunks: int = 0
    under_way: int = 0  # ended, in batches that have not ended

    @property
    def done(self) -> int:
        return self.searchable + self.unchanged + self.failed + self.under_way


@dataclass(frozen=True)
class Pace:
    """Rates, and the seconds that are left; None: unknown."""

    files_per_s: float
    chunks_per_s: float
    left_s: float | None


@dataclass
class Speed:
    """Computes the pace from what was done at some moments."""

    samples: deque[tuple[float, int, int]] = field(default_factory=deque)  # seconds, documents, chunks

    def add(self, now_s: float, tally: Tally) -> None:
        """`now_s` never goes back."""
        self.samples.append((now_s, tally.done, tally.chunks))
        while len(self.samples) > 2 and self.samples[1][0] <= now_s - WINDOW_S:
            self.samples.popleft()

    def pace(self, total: int | None) -> Pace:
        """The pace since the oldest sample."""
        (start_s, done_before, chunks_before), (now_s, done, chunks) = self.samples[0], self.samples[-1]
        seconds = now_s - start_s
        if seconds <= 0:
            return Pace(0.0, 0.0, None)
        files_per_s = (done - done_before) / seconds
        left_s = None if total is None or files_per_s <= 0 else max(0, total - done) / files_per_s
        return Pace(files_per_s, (chunks - chunks_before) / seconds, left_s)


@dataclass
class Failures:
    """The documents that failed, with their reasons: the first ones in memory, all of them in the file, if any."""

    max_listed: int = 100
    file: TextIO | None = None
    listed: list[tuple[str, str]] = field(default_factory=list)
    total: int = 0

    def add(self, name: str, reason: str) -> None:
        self.total += 1
        reason = reason.encode(errors="replace").decode()  # a path that is not UTF-8 can be neither printed nor written
        if self.file is not None:
            self.file.write(json.dumps({"name": name, "reason": reason}, ensure_ascii=False) + "\n")
        if len(self.listed) < self.max_listed:
            self.listed.append((name, reason))
