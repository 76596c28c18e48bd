"""A recovery, tried with a real process that has all stages inside, and a standby that follows."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from models.corpus.backup.retention import StoredBackup
from models.corpus.corpus import Corpus
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError
from serve.cli.backup.create import create_backups
from serve.cli.backup.drill import DrillReport, drill_config, print_drill, run_drill
from serve.cli.backup.follow import follow_backups
from serve.cli.backup.places import Place, open_place
from serve.cli.backup.restored_questions import passages_to_ask_for
from serve.cli.driver.servers import Launch
from serve.config_file import read, settings_of
from tests.conftest import ROOT
from tests.inline import ingest

SHIPPED = ROOT / "serve_config.yaml"
QUIET = Console(quiet=True)
TEXTS = {
    "ovens.md": "# Ovens\n\nThe oven in the bakery heats to 250 degrees, and the bread needs forty minutes in it.\n",
    "mills.md": "# Mills\n\nThe mill by the river opens in winter only, as there is no water in summer or autumn.\n",
}


def corpus_in(folder: Path) -> Corpus:
    return Corpus.open(f"sqlite:///{folder / 'ragserve.db'}", folder / "files")


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    """A place with one backup of two files, each of another tenant."""
    corpus = corpus_in(tmp_path / "data")
    for tenant, (name, text) in zip(("default", "acme"), TEXTS.items(), strict=True):
        await ingest(corpus, name, text.encode(), tenant)
    corpus.close()
    opened = open_place(SHIPPED, tmp_path / "data", str(tmp_path / "backups"))
    create_backups(opened, None, QUIET)
    return opened


def in_process(config: Path) -> Launch:
    return Launch("restored", [sys.executable, "-m", "tests.restored_child", "{port}", str(config)], "/healthz")


def test_a_drill_restores_starts_and_asks(place: Place, tmp_path: Path) -> None:
    console = Console(record=True, width=200)

    report = run_drill(place, None, SHIPPED, 2, None, tmp_path / "scratch", QUIET, in_process)

    assert list(report.steps) == ["fetch the backup", "check and restore", "start the service", "first answer"]
    assert report.checks == dict.fromkeys(["rows of each table", "passage 1 comes back", "passage 2 comes back"], True)
    assert report.rto_s == sum(report.steps.values())
    assert 0 <= report.rpo_s < (datetime.now(UTC) - place.backup(None).started_at).total_seconds() + 1
    assert list((tmp_path / "scratch").iterdir()) == []
    assert print_drill(report, None, None, console)
    assert "2 files, 2 chunks" in console.export_text()


def test_a_damaged_backup_fails_the_drill(place: Place, tmp_path: Path) -> None:
    blob = next((tmp_path / "backups").glob("backup-*/files/*/*"))
    blob.unlink()

    with pytest.raises(ConfigError, match="is damaged"):
        run_drill(place, None, SHIPPED, 2, None, tmp_path / "scratch", QUIET, in_process)


@pytest.mark.parametrize(
    ("rto_s", "rpo_s", "is_passed"), [(3, 60, True), (2.9, 60, False), (3, 59, False), (None, None, True)]
)
def test_a_passed_limit_fails_the_drill(rto_s: float | None, rpo_s: float | None, is_passed: bool) -> None:
    report = DrillReport("backup", "1 files", 60.0, {"restore": 1.0, "start": 2.0}, {"rows": True})

    assert print_drill(report, rto_s, rpo_s, QUIET) is is_passed


def test_a_failed_check_fails_the_drill() -> None:
    report, console = DrillReport(checks={"rows": True, "passage 1 comes back": False}), Console(record=True)

    assert not print_drill(report, None, None, console)
    assert "FAILED  passage 1 comes back" in console.export_text()


def test_a_drill_that_asked_nothing_says_so() -> None:
    report, console = DrillReport(checks={"rows": True}), Console(record=True)

    assert print_drill(report, None, None, console)
    assert "nothing was asked" in console.export_text()


async def test_short_passages_are_asked_for_if_there_are_no_others(tmp_path: Path) -> None:
    corpus = corpus_in(tmp_path / "data")
    await ingest(corpus, "short.md", b"The oven heats to 250 degrees.", "acme")
    short = passages_to_ask_for(corpus, 3)
    await ingest(corpus, "mills.md", TEXTS["mills.md"].encode(), "acme")
    long = passages_to_ask_for(corpus, 3)
    corpus.close()

    assert [passage.text for passage in short] == ["The oven heats to 250 degrees."]
    assert ["mill" in passage.text for passage in long] == [True]


def test_the_drills_service_touches_nothing_of_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSERVE_DATABASE_URL", "postgresql+psycopg://u:p@real/db")
    monkeypatch.setenv("RAGSERVE_REDIS_URL", "redis://real:6379/0")
    raw = yaml.safe_load(SHIPPED.read_text())
    application = raw["applications"][0]
    application["args"] = {
        "storage": {"blobs_url": "s3://real/files", "milvus": {"uri": "http://real:19530"}},
        "backups": {"url": "s3://real/backups", "every_s": 60},
        "events": {"webhook": {"url": "https://real.example.com"}},
        "api": {"keys_file": "/etc/ragserve/keys.yaml"},
    }
    (tmp_path / "serve_config.yaml").write_text(yaml.safe_dump(raw))

    config = drill_config(tmp_path / "serve_config.yaml", tmp_path)

    text, settings = config.read_text(), settings_of(read(config))
    assert "real" not in text
    assert settings.storage.url == f"sqlite:///{tmp_path / 'data' / 'ragserve.db'}"
    assert (settings.storage.milvus, settings.cache.redis_url, settings.backups.every_s) == (None, None, None)
    assert settings.api.needs_keys
    assert read(config)["http_options"]["host"] == "127.0.0.1"


def names(corpus: Corpus, tenant: str = "default") -> list[str]:
    from models.corpus.records import PageRequest

    return sorted(file.filename for file in corpus.files.page(tenant, PageRequest()).items)


class StoppedError(Exception):
    pass


async def test_a_standby_follows_until_it_is_used(place: Place, tmp_path: Path) -> None:
    standby = open_place(SHIPPED, tmp_path / "standby", str(tmp_path / "backups"))
    seen: list[list[str]] = []

    def go_on(seconds: float) -> None:
        corpus = corpus_in(tmp_path / "standby")
        seen.append(names(corpus))
        if len(seen) == 1:
            real = corpus_in(tmp_path / "data")
            real.files.add("default", "second.md", b"second")
            real.close()
            create_backups(place, None, QUIET)
        elif len(seen) == 3:
            corpus.files.add("default", "own.md", b"of the standby")
        corpus.close()

    with pytest.raises(ConflictError, match="it is in use"):
        follow_backups(standby, 30.0, None, QUIET, go_on)

    assert seen == [["ovens.md"], ["ovens.md", "second.md"], ["ovens.md", "second.md"]]
    after = corpus_in(tmp_path / "standby")
    assert names(after) == ["ovens.md", "own.md", "second.md"]
    after.close()


def test_a_standby_waits_for_the_first_backup(tmp_path: Path) -> None:
    standby = open_place(SHIPPED, tmp_path / "standby", str(tmp_path / "backups"))
    console = Console(record=True, width=200)

    def stop(seconds: float) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        follow_backups(standby, 30.0, None, console, stop)
    with pytest.raises(ConfigError, match="has no complete backup"):
        follow_backups(standby, None, None, console)

    assert "has no complete backup" in console.export_text()


def test_the_services_own_data_are_no_standby(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="the corpus is not empty"):
        follow_backups(place, None, None, QUIET)
    with pytest.raises(ConflictError, match="the corpus is not empty"):
        follow_backups(place, None, None, QUIET)


def test_backups_sort_by_time() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=each) for each in (5, 900, 1000)]

    assert sorted(StoredBackup.at(each).name for each in moments) == [StoredBackup.at(each).name for each in moments]
