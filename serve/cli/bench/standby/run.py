"""`ragserve bench standby`: the primary and its database are killed under uploads, and the standby takes over.

Two services have a PostgreSQL server each, and the same place of uploaded files. The standby's server follows the
primary's. So its service answers questions, and refuses writes until its server is promoted.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.corpus.corpus import Corpus
from serve.cli.bench.standby.killed import tree_of
from serve.cli.bench.standby.note import Note
from serve.cli.bench.standby.postgresql import PostgresServer, primary_and_standby
from serve.cli.bench.standby.uploads import Uploads
from serve.cli.driver.corpus.synthetic import VectorSpace, fill
from serve.cli.driver.own_config import write_own_config
from serve.cli.driver.servers import Launch, Server, ragserve_up, running
from serve.cli.remote import RemoteService

THREADS = 2
QUICK_CHUNKS, QUICK_UPLOADS = 1_000, 10
# What two services on one machine must not both have.
LEFT_OUT = ("backups", "events", "quality", "tracing", "limits", "cache", "api")


@dataclass(frozen=True)
class StandbyPlan:
    """What is stored, and how many uploads are acknowledged before the kill."""

    config: Path
    space: VectorSpace
    num_chunks: int = 100_000
    num_uploads: int = 100
    is_synchronous: bool = True

    def as_quick(self) -> "StandbyPlan":
        return replace(self, num_chunks=QUICK_CHUNKS, num_uploads=QUICK_UPLOADS)


@dataclass
class StandbyReport:
    """Seconds since the kill, by what was possible then; acknowledged uploads, and those that the standby lacks."""

    seconds: dict[str, float] = field(default_factory=dict)
    num_acknowledged: int = 0
    num_lost: int = 0
    rpo_s: float = 0.0

    @property
    def rto_s(self) -> float:
        return max(self.seconds.values(), default=0.0)


def measure(
    plan: StandbyPlan, folder: Path, report: Callable[[str], None], launch: Callable[[Path], Launch] = ragserve_up
) -> StandbyReport:
    """Everything is in `folder`, except the databases. Raises ConfigError without PostgreSQL, ServerStartError."""
    with primary_and_standby() as (database, standby_folder):
        _fill(database, folder, plan)
        report(f"{plan.num_chunks:,} chunks are stored")
        replica = database.clone(standby_folder)
        if plan.is_synchronous:
            database.acknowledge_replicated()
        with (
            _service("primary", database, plan.config, folder, launch) as primary,
            _service("standby", replica, plan.config, folder, launch) as standby,
        ):
            return _take_over((primary, database), (standby, replica), plan, folder, report)


def lines(result: StandbyReport) -> list[str]:
    """The report as Markdown."""
    rows = [f"| {what} | {seconds:.2f} |" for what, seconds in result.seconds.items()]
    counts = f"{result.num_lost} of {result.num_acknowledged} acknowledged uploads were lost"
    totals = f"RTO {result.rto_s:.1f} s after the kill is noticed, RPO {result.rpo_s:.2f} s: {counts}"
    return ["| after the kill | seconds |", "|---|---|", *rows, "", totals]


Side = tuple[Server, PostgresServer]


def _take_over(
    primary: Side, standby: Side, plan: StandbyPlan, folder: Path, report: Callable[[str], None]
) -> StandbyReport:
    before, after = Note(folder, "before"), Note(folder, "after")
    before.store(primary[0].url)
    before.wait_until_it_comes_back(standby[0].url)
    report("the standby follows")
    uploads, result = Uploads(primary[0].url, folder), StandbyReport()
    with uploads.running():
        uploads.wait_for(plan.num_uploads)
        killed_at = time.monotonic()
        primary[1].kill(also=tree_of(primary[0].pid))

    def done(what: str) -> None:
        result.seconds[what] = time.monotonic() - killed_at

    done("the primary is dead")
    before.wait_until_it_comes_back(standby[0].url)
    done("an answer")
    standby[1].promote()
    done("the database takes writes")
    after.store(standby[0].url)
    done("an upload is stored and indexed")
    after.wait_until_it_comes_back(standby[0].url)
    done("an answer has it")
    _count_lost(standby[0].url, uploads, killed_at, result)
    return result


def _count_lost(url: str, uploads: Uploads, killed_at: float, result: StandbyReport) -> None:
    with RemoteService(url) as remote:
        stored = {file["id"] for file in remote.pages("/v1/files")}
    lost_at = [at for file_id, at in uploads.acknowledged_at.items() if file_id not in stored]
    result.num_acknowledged, result.num_lost = len(uploads.acknowledged_at), len(lost_at)
    result.rpo_s = max(0.0, killed_at - min(lost_at)) if lost_at else 0.0


def _fill(database: PostgresServer, folder: Path, plan: StandbyPlan) -> None:
    corpus = Corpus.open(database.url, folder / "files")
    try:
        fill(corpus, plan.num_chunks, space=plan.space)
    finally:
        corpus.close()


@contextmanager
def _service(
    name: str, database: PostgresServer, config: Path, folder: Path, launch: Callable[[Path], Launch]
) -> Iterator[Server]:
    """The service `name`, with the files of both in `folder`."""
    own = folder / name
    own.mkdir()
    storage = {
        "data_dir": str(own / "data"),
        "database_url": database.url,
        "blobs_url": (folder / "files").resolve().as_uri(),
    }
    with running(launch(_config(config, own, storage)), own, THREADS) as server:
        yield server


def _config(config: Path, folder: Path, storage: dict[str, str]) -> Path:
    """A deployment file with the same stages and models on this machine, without access control, and this storage."""
    return write_own_config(config, folder, LEFT_OUT, {"storage": storage, "cache": {"redis_url": None}})
