"""`ragserve backups`: what it makes can be listed and restored, and what it is told wrong is one clear error."""

from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from models.corpus.backup.repository import FolderRepository
from models.corpus.corpus import Corpus
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError
from serve.cli.backup.create import create_backups
from serve.cli.backup.places import open_place, seconds_of
from serve.cli.main import app
from serve.config_conflicts import check_conflicts
from serve.config_file import read
from tests.conftest import ROOT
from tests.inline import ingest

SHIPPED = ROOT / "serve_config.yaml"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["backups", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def config_with(folder: Path, **backups: object) -> Path:
    raw = yaml.safe_load(SHIPPED.read_text())
    raw["applications"][0].setdefault("args", {})["backups"] = backups
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


async def corpus_in(folder: Path, text: str) -> None:
    corpus = Corpus.open(f"sqlite:///{folder / 'ragserve.db'}", folder / "files")
    await ingest(corpus, "ovens.md", text.encode())
    corpus.close()


async def test_backups_are_made_listed_and_restored(tmp_path: Path) -> None:
    await corpus_in(tmp_path / "data", "# Ovens\n\nThe oven heats to 250 degrees.\n")
    place, options = str(tmp_path / "backups"), ("--config", str(SHIPPED))
    keep = ("--keep-last", "2", "--keep-daily", "0", "--keep-weekly", "0")
    for _ in range(3):
        run("create", place, *keep, *options, "--data", str(tmp_path / "data"))

    listed = run("list", place, *options).splitlines()
    restored = run("restore", place, *options, "--data", str(tmp_path / "other"))

    assert [line.split()[0] for line in listed] == [each.name for each in FolderRepository(Path(place)).backups()]
    assert len(listed) == 2
    assert f"1 files, 1 chunks, 0.0 MB of uploads restored from {listed[-1].split()[0]}" in restored
    with pytest.raises(ConflictError, match="add --yes"):
        run("restore", place, *options, "--data", str(tmp_path / "other"))


async def test_the_deployment_file_names_the_place_and_what_is_kept(tmp_path: Path) -> None:
    await corpus_in(tmp_path / "data", "alpha")
    config = config_with(tmp_path, url=str(tmp_path / "backups"), keep_last=1, keep_daily=0, keep_weekly=0)
    options = ("--config", str(config), "--data", str(tmp_path / "data"))

    for _ in range(2):
        run("create", *options)

    assert len(run("list", "--config", str(config)).splitlines()) == 1


class StoppedError(Exception):
    pass


async def test_with_every_a_failure_is_printed_and_tried_again(tmp_path: Path) -> None:
    await corpus_in(tmp_path / "data", "alpha")
    blocker = tmp_path / "backups"
    blocker.write_text("")
    place = open_place(SHIPPED, tmp_path / "data", str(blocker))
    console, pauses = Console(record=True, width=200), list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise StoppedError
        blocker.unlink()

    with pytest.raises(StoppedError):
        create_backups(place, 3600, console, sleep)

    assert "the backup failed, and is tried again" in console.export_text()
    assert pauses[0] == 300
    assert 0 < pauses[1] <= 3600
    assert len(place.repository.backups()) == 1


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"backups\.url: is not set"):
        open_place(SHIPPED, None, None)
    with pytest.raises(ConfigError, match="has no complete backup"):
        open_place(SHIPPED, None, str(tmp_path)).backup(None)
    with pytest.raises(ConfigError, match="holds no database"):
        create_backups(open_place(SHIPPED, tmp_path / "mistyped", str(tmp_path)), None, Console(quiet=True))
    with pytest.raises(InvalidRequestError, match="no duration"):
        seconds_of("6 hours")
    assert [seconds_of(each) for each in ("90s", "15m", "6h", "1d")] == [90, 900, 21_600, 86_400]


async def test_backups_among_the_uploads_are_refused(tmp_path: Path) -> None:
    await corpus_in(tmp_path / "data", "alpha")
    (tmp_path / "link").symlink_to(tmp_path / "data" / "files" / "backups")
    quiet = Console(quiet=True)

    for folder in (tmp_path / "data", tmp_path / "data" / "files", tmp_path / "link"):
        with pytest.raises(ConfigError, match="is the service's data folder"):
            create_backups(open_place(SHIPPED, tmp_path / "data", str(folder)), None, quiet)
    raw = read(SHIPPED)
    raw["applications"][0]["args"] = {
        "storage": {"data_dir": str(tmp_path / "data")},
        "backups": {"url": str(tmp_path / "data/files/backups")},
    }

    assert [problem.where for problem in check_conflicts(raw)] == ["applications[0].args.backups.url"]


async def test_an_unknown_name_is_told(tmp_path: Path) -> None:
    await corpus_in(tmp_path / "data", "alpha")
    run("create", str(tmp_path / "backups"), "--config", str(SHIPPED), "--data", str(tmp_path / "data"))

    with pytest.raises(NotFoundError, match="no backup with id 'monday'"):
        open_place(SHIPPED, None, str(tmp_path / "backups")).backup("monday")
