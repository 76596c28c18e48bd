"""The service's own backups: made in a process beside it, counted when they fail, and never in its way."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from deployments.replica.storage import StorageConfig
from models.corpus.backup.manifest import BackupUnderWayError
from models.corpus.backup.repository import FolderRepository
from serve.backups.child import BackupReport, BackupRequest, back_up
from serve.backups.config import BackupsConfig
from serve.backups.schedule import BackupSchedule
from tests.inline import ingest
from tests.patience import PATIENCE_S
from tests.processes import command_line


def storage(folder: Path) -> StorageConfig:
    return StorageConfig(data_dir=folder / "data")


def config(folder: Path, **changes: object) -> BackupsConfig:
    return BackupsConfig.model_validate({"url": str(folder / "backups"), "every_s": 3600} | changes)


def count(outcome: str) -> float:
    return REGISTRY.get_sample_value("ragserve_backups_total", {"outcome": outcome}) or 0.0


def gauge(name: str) -> float:
    return REGISTRY.get_sample_value(f"ragserve_backup_{name}_timestamp_seconds") or 0.0


async def test_a_backup_is_made_when_it_is_due(tmp_path: Path) -> None:
    corpus = storage(tmp_path).open()
    await ingest(corpus, "ovens.md", b"# Ovens\n\nThe oven heats to 250 degrees.\n")
    corpus.close()
    schedule, made, not_due = BackupSchedule(config(tmp_path), storage(tmp_path)), count("made"), count("not_due")

    first, second = await schedule.back_up(), await schedule.back_up()

    (backup,) = FolderRepository(tmp_path / "backups").backups()
    assert (first.outcome, second.outcome) == ("made", "not_due")
    assert first.newest == second.newest == backup.started_at.timestamp()
    assert (count("made") - made, count("not_due") - not_due) == (1, 1)
    assert gauge("due") - gauge("newest") == 3600


async def test_a_failed_backup_is_counted_and_raises_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "backups").write_text("not a folder")
    before = count("failed")

    report = await BackupSchedule(config(tmp_path), storage(tmp_path)).back_up()

    assert (report.outcome, count("failed") - before) == ("failed", 1)
    assert "backups" in report.error
    assert "the scheduled backup failed" in caplog.text


async def test_a_failed_backup_is_a_problem_until_one_is_made(tmp_path: Path) -> None:
    storage(tmp_path).open().close()
    (tmp_path / "backups").write_text("not a folder")
    schedule, problems = BackupSchedule(config(tmp_path), storage(tmp_path)), list[list[str]]()

    await schedule.back_up()
    problems.append(schedule.problems())
    (tmp_path / "backups").unlink()
    await schedule.back_up()
    problems.append(schedule.problems())

    assert problems == [["backups: the last one failed; the log says why"], []]


async def test_a_process_that_is_killed_is_a_failed_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = tmp_path / "killed.sh"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(killed))

    report = await BackupSchedule(config(tmp_path), storage(tmp_path)).back_up()

    assert (report.outcome, report.error) == ("failed", "its process was killed by SIGKILL")


async def test_a_process_that_breaks_is_a_failed_backup(tmp_path: Path) -> None:
    broken = StorageConfig.model_construct(data_dir=tmp_path, database_url="no-dialect://x", blobs_url=None)

    report = await BackupSchedule(config(tmp_path), broken).back_up()

    assert report.outcome == "failed"
    assert "database_url" in report.error


def test_a_backup_beside_another_is_no_failure(tmp_path: Path) -> None:
    place = storage(tmp_path)
    request = BackupRequest(database_url=place.url, blob_root=str(place.blob_root), config=config(tmp_path))

    with FolderRepository(tmp_path / "backups").locked():
        report = back_up(request)

    assert report == BackupReport(outcome="busy", error=str(BackupUnderWayError(str(tmp_path / "backups"))))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "backups"}, "must be an absolute folder"),
        ({"url": "memory://backups"}, "loses every backup"),
        ({"url": "s3://key:secret@bucket/x"}, "must not have a user name"),
        ({"url": "/backups\0"}, "must be an absolute folder"),
        ({"url": "https://example.org/backups"}, "must be a place that can be written"),
        ({"url": "s3://"}, "must be a place that can be written"),
        ({"url": None}, "every_s needs url"),
        ({"every_s": 5}, "greater than or equal to 60"),
        ({"keep_last": 0}, "greater than or equal to 1"),
        ({"keep_dayly": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_setting_is_refused(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        config(tmp_path, **changes)


CHILD = "import time; from serve.backups.child import end_with_parent; end_with_parent(); print(1, flush=True); "
CHILD += f"time.sleep({PATIENCE_S})"
PARENT = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=-1); "
PARENT += "child.stdout.read(1); print(child.pid, flush=True); child.wait()"


def test_a_backup_whose_ingress_is_killed_ends_too() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as ingress:
        assert ingress.stdout
        child = psutil.Process(int(ingress.stdout.readline()))
        ingress.kill()

    end = time.monotonic() + PATIENCE_S / 2  # by itself it would end later
    while command_line(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not command_line(child)
