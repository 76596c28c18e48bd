"""Uploaded documents on their way into the vector store: attached together, and followed until they are searchable."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from serve.cli.ingest.bulk.service import PatientService
from serve.cli.ingest.bulk.state import Failures, Tally
from serve.cli.ingest.bulk.upload import Upload
from serve.cli.remote import RemoteError, UnreachableError

MAX_POLLED = 4  # batches at once; they end roughly in the order in which they began

Fail = Callable[[str, str], None]


@dataclass
class Batch:
    """Uploads that were attached together. `num_ended` is as of the last look."""

    batch_id: str
    uploads: dict[str, Upload]  # by file id
    num_ended: int = 0


@dataclass
class Batches:
    """Attaches uploads to one vector store, and counts what becomes of them."""

    service: PatientService
    vector_store_id: str
    tally: Tally
    failures: Failures
    omissions: Counter[str] = field(default_factory=Counter)
    warnings: Failures = field(default_factory=Failures)
    running: list[Batch] = field(default_factory=list)

    @property
    def num_running(self) -> int:
        """Documents that are attached and not searchable yet."""
        return sum(len(batch.uploads) - batch.num_ended for batch in self.running)

    def attach(self, uploads: Sequence[Upload]) -> None:
        """Attach them together; if one of them is refused, each by itself. Raises UnreachableError."""
        by_id = {upload.file_id: upload for upload in uploads}
        try:
            self.running.append(self._attached(by_id))
        except UnreachableError:
            raise
        except RemoteError as error:
            if len(by_id) == 1:
                self.fail(uploads[0].name, str(error))
                return
            for upload in by_id.values():
                self.attach([upload])

    def _attached(self, uploads: dict[str, Upload]) -> Batch:
        attributes = {file_id: upload.attributes for file_id, upload in uploads.items()}
        return Batch(self.service.attach_files(self.vector_store_id, attributes), uploads)

    def poll(self) -> None:
        """Look at the oldest batches, and settle those that have ended. Raises RemoteError."""
        for batch in self.running[:MAX_POLLED]:
            state = self.service.batch(self.vector_store_id, batch.batch_id)
            counts = state["file_counts"]
            batch.num_ended = counts["total"] - counts["in_progress"]
            if not counts["in_progress"]:
                self._settle(batch, int(state["progress"]["chunks_done"]))
                self.running.remove(batch)
        self.tally.under_way = sum(batch.num_ended for batch in self.running)

    def _settle(self, batch: Batch, num_chunks: int) -> None:
        failed = self.service.batch_failures(self.vector_store_id, batch.batch_id)
        reports = self.service.parse_reports(self.vector_store_id, batch.batch_id)
        self.tally.chunks += num_chunks
        for file_id, upload in batch.uploads.items():
            if file_id in failed:
                self.fail(upload.name, failed[file_id])
            elif file_id not in reports:
                self.fail(upload.name, "was detached or deleted by somebody else meanwhile")
            else:
                self.tally.searchable += 1
                self.omissions.update(reports[file_id].get("omissions", {}))
                for warning in reports[file_id].get("warnings", ()):
                    self.warnings.add(upload.name, warning)
                self.delete_older(upload)

    def delete_older(self, upload: Upload) -> None:
        """Delete the files that a searchable one replaces. Raises UnreachableError."""
        for file_id in upload.older_ids:
            try:
                self.service.delete_file(file_id)
            except UnreachableError:
                raise
            except RemoteError as error:
                self.warnings.add(upload.name, f"an older file of this name was not deleted: {error}")

    def fail(self, name: str, reason: str) -> None:
        self.tally.failed += 1
        self.failures.add(name, reason)
