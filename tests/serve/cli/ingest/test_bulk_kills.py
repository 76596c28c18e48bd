"""A bulk run that is killed five times leaves what an undisturbed one leaves."""

import sys
from pathlib import Path

import pytest

from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE
from serve.cli.bench.ingest.fingerprint import Fingerprint, fingerprint
from serve.cli.bench.ingest.kills import check_equal, run_killed
from serve.cli.remote import RemoteService
from tests.serve.cli.ingest.listening import listening_in

NUM_FILES, NUM_KILLS = 150, 5


def ingest_killed(folder: Path, documents: Path, num_kills: int) -> tuple[Fingerprint, int]:
    folder.mkdir()
    with listening_in(folder) as listening, RemoteService(listening.url) as service:

        def count() -> int:
            return int(service.vector_store(DEFAULT_VECTOR_STORE)["file_counts"]["completed"])

        command = [sys.executable, "-m", "serve.cli", "ingest", "--bulk", str(documents), "--url", listening.url]
        result = run_killed([*command, "--in-flight", "20"], num_kills, NUM_FILES, count, folder / "log")
        contents = fingerprint(listening.corpus, DEFAULT_TENANT, DEFAULT_VECTOR_STORE)
        assert set(map(tuple, listening.versions().values())) == {(1,)}
    return contents, result.num_kills


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    for number in range(NUM_FILES):
        (documents / f"{number:03}.md").write_text(f"# Note {number}\n\n" + "The tide comes in twice. " * (number % 40))

    undisturbed, _ = ingest_killed(tmp_path / "undisturbed", documents, 0)
    killed, num_hits = ingest_killed(tmp_path / "killed", documents, NUM_KILLS)

    assert num_hits == NUM_KILLS
    assert len(killed.filenames) == NUM_FILES
    check_equal(undisturbed, killed)
    assert (killed.texts_sha256, killed.vectors_sha256) == (undisturbed.texts_sha256, undisturbed.vectors_sha256)
