"""A hot standby with real PostgreSQL servers and two processes of the service, of which one is killed."""

import os
import sys
import time
from pathlib import Path

import pytest

from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest
from models.errors.storage import DatabaseUnavailableError
from serve.cli.bench.standby.postgresql import HOST, USER, primary_and_standby
from serve.cli.bench.standby.run import StandbyPlan, StandbyReport, lines, measure
from serve.cli.driver.corpus.synthetic import VectorSpace
from serve.cli.driver.servers import Launch
from tests.conftest import ROOT
from tests.inline import InlineEmbedder
from tests.patience import PATIENCE_S


def in_process(config: Path) -> Launch:
    return Launch("service", [sys.executable, "-m", "tests.restored_child", "{port}", str(config)], "/healthz")


needs_postgresql = pytest.mark.skipif(
    not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or os.geteuid() != 0,
    reason="needs PostgreSQL's server programs, and root, which starts them as the user that they want",
)


@pytest.mark.slow
@needs_postgresql
def test_a_standby_takes_over_and_has_what_was_acknowledged(tmp_path: Path) -> None:
    space = VectorSpace(InlineEmbedder().generation, 512)
    plan = StandbyPlan(ROOT / "serve_config.yaml", space, num_chunks=100, num_uploads=5)

    result = measure(plan, tmp_path, lambda _: None, in_process)

    assert result.num_acknowledged >= 5
    assert (result.num_lost, result.rpo_s) == (0, 0.0)
    assert list(result.seconds)[-1] == "an answer has it"
    assert result.rto_s == result.seconds["an answer has it"]


def test_the_report_has_both_times() -> None:
    report = StandbyReport({"an answer": 1.0, "an answer has it": 2.5}, 10, 1, 0.25)

    assert lines(report)[-1] == (
        "RTO 2.5 s after the kill is noticed, RPO 0.25 s: 1 of 10 acknowledged uploads were lost"
    )


@pytest.mark.slow
@needs_postgresql
def test_a_url_of_both_servers_writes_to_the_one_that_was_promoted(tmp_path: Path) -> None:
    with primary_and_standby() as (primary, folder):
        corpus = Corpus.open(primary.url, tmp_path)
        corpus.files.add("default", "before.txt", b"before")
        corpus.close()
        standby = primary.clone(folder)
        hosts = "".join(f"host={HOST}:{server.port}&" for server in (primary, standby))
        url = f"postgresql+psycopg://{USER}@/postgres?{hosts}target_session_attrs=read-write"
        corpus = Corpus.open(url, tmp_path)

        primary.kill()
        with pytest.raises(DatabaseUnavailableError):
            corpus.files.add("default", "meanwhile.txt", b"meanwhile")
        standby.promote()
        add_when_available(corpus, "after.txt")

        names = [file.filename for file in corpus.files.page("default", PageRequest(order="asc")).items]
        corpus.close()
    assert names == ["before.txt", "after.txt"]


def add_when_available(corpus: Corpus, name: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            corpus.files.add("default", name, b"after")
            return
        except DatabaseUnavailableError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)
