"""How far the files under way have come, in the memory of the worker that ingests them."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass
class EmbeddedChunks:
    """The chunks of one parsed file. Each has a vector to get in each of `num_spaces`."""

    num_chunks: int
    num_spaces: int
    num_vectors: int = 0

    @property
    def num_embedded(self) -> int:
        """At most num_chunks: a file may be embedded once more for a generation that began meanwhile."""
        return min(self.num_chunks, self.num_vectors // self.num_spaces)


class IngestProgress:
    """Counts embedded chunks by job. Belongs to one event loop."""

    def __init__(self) -> None:
        self._jobs: dict[int, EmbeddedChunks] = {}
        self._changed: set[int] = set()

    def begin(self, job_id: int, num_chunks: int, num_spaces: int) -> None:
        """The file is parsed."""
        self._jobs[job_id] = EmbeddedChunks(num_chunks, max(1, num_spaces))
        self._changed.add(job_id)

    def add(self, job_id: int, num_vectors: int) -> None:
        """A page of the file is embedded."""
        self._jobs[job_id].num_vectors += num_vectors
        self._changed.add(job_id)

    def end(self, job_id: int) -> None:
        """The job has ended, in whatever way."""
        self._jobs.pop(job_id, None)
        self._changed.discard(job_id)

    def take_changes(self) -> dict[int, tuple[int, int]]:
        """(embedded chunks, all chunks) of the jobs that moved since the last call."""
        changed, self._changed = self._changed, set()
        return {job_id: (self._jobs[job_id].num_embedded, self._jobs[job_id].num_chunks) for job_id in changed}

    def parsing(self, job_ids: Collection[int]) -> set[int]:
        """Those of the running jobs whose file is not parsed yet."""
        return set(job_ids) - self._jobs.keys()
