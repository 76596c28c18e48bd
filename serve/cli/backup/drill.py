"""A recovery, tried: a backup restored elsewhere, a service started on it, and questions asked."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from models.corpus.backup.manifest import Manifest, rows_in
from models.corpus.backup.restore import UNRESTORED, restore_backup
from models.corpus.corpus import Corpus
from serve.cli.backup.places import Place, scratch_folder
from serve.cli.backup.restored_questions import StoredPassage, ask, passages_to_ask_for
from serve.cli.backup.run import contents_of, shown_progress
from serve.cli.driver.own_config import write_own_config
from serve.cli.driver.servers import Launch, ragserve_up, running
from serve.cli.service_address import base_url, key_headers

THREADS = 2
FIRST_ANSWER = "first answer"


@dataclass
class DrillReport:
    """The steps' seconds in their order, what was checked, and the backup's age when the drill began."""

    backup: str = ""
    contents: str = ""
    rpo_s: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def rto_s(self) -> float:
        return sum(self.steps.values())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.steps[name] = time.perf_counter() - start


def run_drill(  # noqa: PLR0913, what is restored, and what is asked
    place: Place,
    name: str | None,
    config: Path,
    num_questions: int,
    url: str | None,
    scratch: Path | None,
    console: Console,
    launch: Callable[[Path], Launch] = ragserve_up,
) -> DrillReport:
    """Raises ConfigError for a backup that is damaged, ServerStartError if the service does not start."""
    url = None if url is None else base_url(url)
    backup, report = place.backup(name), DrillReport()
    report.backup = backup.name
    with scratch_folder(scratch) as folder, shown_progress(console) as progress:
        with report.step("fetch the backup"):
            source = place.repository.fetch(backup.name, folder, progress)
        manifest = Manifest.read(source)
        report.rpo_s = (datetime.now(UTC) - manifest.moment).total_seconds()
        report.contents = contents_of(manifest)
        data = folder / "data"
        with report.step("check and restore"):
            corpus = Corpus.open(f"sqlite:///{data / 'ragserve.db'}", data / "files")
            restore_backup(corpus.database, data / "files", source, progress=progress)
        report.checks["rows of each table"] = _has_rows(data / "ragserve.db", manifest)
        passages = passages_to_ask_for(corpus, num_questions)
        keys = {tenant: corpus.api_keys.create(tenant, "drill", "admin")[1] for tenant in _tenants(passages)}
        corpus.close()
        _ask_a_service(launch(drill_config(config, folder)), folder, (passages, keys, url), report)
    return report


# What a second service must not have: it would back up into the same place, send events, or write to a shared store.
LEFT_OUT = ("backups", "events", "quality", "tracing", "limits", "cache")


def drill_config(config: Path, folder: Path) -> Path:
    """A deployment file for the restored data alone: the same stages and models, on this machine."""
    data = folder / "data"
    arguments = {
        "storage": {"data_dir": str(data), "database_url": f"sqlite:///{data / 'ragserve.db'}"},
        "cache": {"redis_url": None},  # also if the environment names one
        "api": {"access": "keys"},
    }
    return write_own_config(config, folder, LEFT_OUT, arguments)


def _has_rows(database: Path, manifest: Manifest) -> bool:
    """Whether each restored table has as many rows as the backup says."""
    rows, unrestored = rows_in(database), {table.name for table in UNRESTORED}
    return all(rows[name] == number for name, number in manifest.rows.items() if name not in unrestored)


def _tenants(passages: list[StoredPassage]) -> set[str]:
    return {passage.tenant for passage in passages}


Questions = tuple[list[StoredPassage], dict[str, str], str | None]  # also the key of each tenant, and a service's URL


def _ask_a_service(service: Launch, folder: Path, questions: Questions, report: DrillReport) -> None:
    passages, keys, url = questions
    start = time.perf_counter()
    with running(service, folder, THREADS) as server:
        report.steps["start the service"] = time.perf_counter() - start
        for number, passage in enumerate(passages, 1):
            with report.step(FIRST_ANSWER) if number == 1 else _untimed():
                answered = ask(server.url, passage, {"authorization": f"Bearer {keys[passage.tenant]}"})
            report.checks[f"passage {number} comes back"] = passage.is_in(answered)
            if url is not None:
                same = answered.chunk_ids == ask(url, passage, key_headers()).chunk_ids
                report.checks[f"passages of question {number} as at {url}"] = same


@contextmanager
def _untimed() -> Iterator[None]:
    yield


def print_drill(report: DrillReport, rto_s: float | None, rpo_s: float | None, console: Console) -> bool:
    """Print the report. Return whether every check passed, and both limits were kept."""
    console.print(f"{report.backup}: {report.contents}\n", markup=False)
    console.print("| step | seconds |\n|---|---|", markup=False)
    for name, seconds in report.steps.items():
        console.print(f"| {name} | {seconds:.1f} |", markup=False)
    checks = dict(report.checks)
    if FIRST_ANSWER not in report.steps:
        console.print("\nnothing was asked: the backup has no passages", markup=False)
    console.print(f"\nRTO {report.rto_s:.1f} s, RPO {report.rpo_s:.0f} s\n", markup=False)
    if rto_s is not None:
        checks[f"RTO at most {rto_s:g} s"] = report.rto_s <= rto_s
    if rpo_s is not None:
        checks[f"RPO at most {rpo_s:g} s"] = report.rpo_s <= rpo_s
    for name, is_passed in checks.items():
        console.print(f"{'ok' if is_passed else 'FAILED':<7} {name}", markup=False)
    return all(checks.values())
