"""The bulk run itself: few documents at a time go from their source through the service into the index."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial

from serve.cli.ingest.bulk.batches import Batches
from serve.cli.ingest.bulk.documents import Source, SourceDocument, UnreadableSource
from serve.cli.ingest.bulk.options import BulkLimits
from serve.cli.ingest.bulk.service import PatientService
from serve.cli.ingest.bulk.upload import FailedUpload, Upload, upload
from serve.cli.ingest.bulk.uploaded import DuplicateNameError, UploadedFiles

MB = 1_000_000
FILES_PER_BATCH = 50
POLL_FIRST_S, POLL_MAX_S = 0.05, 1.0  # between two looks at the batches; it grows until the next batch

OnStep = Callable[[float], None]


class BulkFeed:
    """Uploads, attaches and follows documents. One thread decides; others only upload.

    What is uploaded but not searchable yet is bounded in number, what is read but not uploaded in bytes. The order of
    the sources is kept up to the uploads under way, so a run that is killed goes on roughly where it stopped.
    """

    def __init__(
        self, service: PatientService, uploaded: UploadedFiles, batches: Batches, limits: BulkLimits, on_step: OnStep
    ) -> None:
        """`on_step` gets the monotonic time about once a second."""
        self._service, self._uploaded, self._batches = service, uploaded, batches
        self._limits, self._on_step = limits, on_step
        self._upload = partial(upload, service=service, uploaded=uploaded)
        self._uploads: dict[Future[Upload | FailedUpload], int] = {}  # with their bytes
        self._waiting: list[Upload] = []
        self._polled_at, self._poll_s = 0.0, POLL_FIRST_S

    def run(self, sources: Iterator[Source]) -> None:
        """Return when every document is searchable, unchanged or failed. Raises UnreachableError."""
        with ThreadPoolExecutor(self._limits.uploads) as pool:
            try:
                for source in sources:
                    self._begin(pool, source)
                    self._step(0.0)
                while self._uploads or self._waiting or self._batches.running:
                    self._attach(min_files=1 if not self._uploads else FILES_PER_BATCH)
                    self._step(self._poll_s)
            finally:
                self._service.stop()
                pool.shutdown(cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, source: Source) -> None:
        if isinstance(source, UnreadableSource):
            self._batches.fail(source.name, source.reason)
            return
        while not self._has_place(source):
            if not self._uploads:
                self._attach(min_files=1)
            self._step(self._poll_s)
        try:
            earlier = self._uploaded.begin(source.name)  # here, so that of two documents the first one always wins
        except DuplicateNameError as error:
            self._batches.fail(source.name, str(error))
            return
        self._uploads[pool.submit(self._upload, source, earlier)] = source.size_bytes

    def _has_place(self, document: SourceDocument) -> bool:
        if len(self._uploads) >= self._limits.uploads:
            return False
        if len(self._uploads) + len(self._waiting) + self._batches.num_running >= self._limits.in_flight:
            return False
        num_bytes = sum(self._uploads.values())
        return not self._uploads or num_bytes + document.size_bytes <= self._limits.memory_mb * MB

    def _step(self, wait_s: float) -> None:
        """Take what has ended within `wait_s`, attach it, and look at the batches now and then."""
        ended = self._ended(wait_s)
        for future in ended:
            del self._uploads[future]
            self._take(future.result())
        self._attach(FILES_PER_BATCH)
        if (now := time.monotonic()) - self._polled_at >= self._poll_s:
            self._batches.poll()
            self._polled_at, self._poll_s = now, min(POLL_MAX_S, 1.5 * self._poll_s)
            self._on_step(now)

    def _ended(self, wait_s: float) -> set[Future[Upload | FailedUpload]]:
        if self._uploads:
            return wait(self._uploads, wait_s, FIRST_COMPLETED).done
        if wait_s:
            time.sleep(wait_s)
        return set()

    def _take(self, result: Upload | FailedUpload) -> None:
        if isinstance(result, FailedUpload):
            self._batches.fail(result.name, result.reason)
        elif result.is_unchanged:
            self._batches.tally.unchanged += 1
            self._batches.delete_older(result)
        else:
            self._waiting.append(result)

    def _attach(self, min_files: int) -> None:
        """Attach what waits, if it is worth a request. The service ingests it while others are uploaded."""
        while len(self._waiting) >= max(1, min_files):
            group, self._waiting = self._waiting[:FILES_PER_BATCH], self._waiting[FILES_PER_BATCH:]
            self._batches.attach(group)
            self._poll_s = POLL_FIRST_S
