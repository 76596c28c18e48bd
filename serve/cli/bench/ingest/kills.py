"""`ragserve bench ingest --kills N`: a bulk run that is killed N times, against one that nobody disturbs."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from deployments.replica.storage import StorageConfig
from models.errors.base import RagError
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE
from serve.cli.bench.ingest.documents import write_files
from serve.cli.bench.ingest.fingerprint import Fingerprint, fingerprint, largest_difference
from serve.cli.bench.ingest.rows import IngestPlan
from serve.cli.driver.machine import describe_machine
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.servers import ragserve_with, running
from serve.cli.remote import RemoteService

POLL_S = 0.05
MAX_DIFFERENCE = 1e-3  # of two vectors' numbers: a text's neighbours in a forward pass move its last bits
HEAD = "| run | seconds | kills | files | chunks | texts | vectors |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class KilledRun:
    """A bulk run: its time from the first start to the last end, and the kills that hit it while it worked."""

    seconds: float
    num_kills: int


@dataclass(frozen=True)
class KillRow:
    """A run and what the store holds afterwards."""

    run: str
    seconds: float
    num_kills: int
    num_files: int
    num_chunks: int
    texts_sha256: str
    vectors_sha256: str

    def line(self) -> str:
        counts = f"{self.num_kills} | {self.num_files} | {self.num_chunks}"
        return f"| {self.run} | {self.seconds:.1f} | {counts} | {self.texts_sha256[:12]} | {self.vectors_sha256[:12]} |"


def measure_kills(plan: IngestPlan, num_kills: int, output: Path | None) -> None:
    """Prints both runs. Raises RagError if their results differ."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no server outlives this process
    with TemporaryDirectory() as folder:
        documents = write_files(plan, Path(folder) / "documents").folder
        undisturbed, before = _run("undisturbed", plan, documents, Path(folder) / "undisturbed", 0)
        killed, after = _run("killed", plan, documents, Path(folder) / "killed", num_kills)
    difference = largest_difference(before, after)
    facts = describe_machine(plan.threads) | {"ragserve's model": plan.model, "files": str(plan.num_files)}
    facts["largest difference of two vectors' numbers"] = f"{difference:.2g}"
    caption = "; ".join(f"{name}: {fact}" for name, fact in facts.items())
    show(caption, "", HEAD, undisturbed.line(), killed.line())
    if output is not None:
        rows = [asdict(undisturbed), asdict(killed)]
        output.write_text(json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n")
    check_equal(before, after)


def check_equal(before: Fingerprint, after: Fingerprint) -> None:
    """Raise KillsChangedError unless files, chunks and texts are the same, and the vectors nearly so."""
    if before.filenames != after.filenames:
        raise KillsChangedError(f"{len(before.filenames ^ after.filenames)} files are in one of the stores only")
    if before.texts_sha256 != after.texts_sha256:
        raise KillsChangedError(f"{len(before.vectors.keys() ^ after.vectors.keys())} chunks are in one store only")
    if (difference := largest_difference(before, after)) > MAX_DIFFERENCE:
        raise KillsChangedError(f"vectors differ by {difference:.2g}; at most {MAX_DIFFERENCE:g} is rounding")


class KillsChangedError(RagError):
    """A killed run left something else than an undisturbed one."""

    code = "kills_changed_result"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


def run_killed(command: list[str], num_kills: int, num_files: int, count: Callable[[], int], log: Path) -> KilledRun:
    """Run the command again and again; kill it as `count` passes equal parts of `num_files`, then let it end.

    Raises RagError with the end of the log if it fails.
    """
    start, num_hits = time.perf_counter(), 0
    with log.open("wb") as output:
        for number in range(1, num_kills + 1):
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            while process.poll() is None and count() < number * num_files // (num_kills + 1):
                time.sleep(POLL_S)
            if process.poll() is None:
                process.kill()
                num_hits += 1
            process.wait()
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if status:
        raise KillsChangedError(f"the last run ended with status {status}: …{log.read_text(errors='replace')[-600:]}")
    return KilledRun(time.perf_counter() - start, num_hits)


def _run(name: str, plan: IngestPlan, documents: Path, folder: Path, num_kills: int) -> tuple[KillRow, Fingerprint]:
    folder.mkdir()
    with (
        running(ragserve_with(plan.config, folder, {"Embedder": plan.model}), folder, plan.threads) as server,
        RemoteService(server.url) as service,
    ):

        def count() -> int:
            return int(service.vector_store(DEFAULT_VECTOR_STORE)["file_counts"]["completed"])

        command = [sys.executable, "-m", "serve.cli", "ingest", "--bulk", str(documents), "--url", server.url]
        result = run_killed(command, num_kills, plan.num_files, count, folder / "bulk.log")
    corpus = StorageConfig(data_dir=folder / "state").open()
    contents = fingerprint(corpus, DEFAULT_TENANT, DEFAULT_VECTOR_STORE)
    corpus.close()
    num_files, num_chunks = len(contents.filenames), len(contents.vectors)
    hashes = contents.texts_sha256, contents.vectors_sha256
    row = KillRow(name, result.seconds, result.num_kills, num_files, num_chunks, *hashes)
    show_progress(row.line())
    return row, contents
