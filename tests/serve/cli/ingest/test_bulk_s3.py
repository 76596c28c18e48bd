"""Uploaded files and bulk sources in S3: moto's server, which speaks S3's protocol on a real port."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.cluster.environment import free_port
from models.corpus.backup.manifest import BackupUnderWayError
from models.corpus.backup.repository import open_repository
from models.corpus.backup.restore import restore_backup
from models.corpus.backup.retention import Retention
from models.corpus.backup.scheduled import back_up_if_due
from models.corpus.corpus import Corpus
from models.corpus.remote_blobs import open_blobs
from models.errors.configuration import ConfigError
from models.errors.requests import NotFoundError
from models.errors.storage import BlobsUnavailableError
from serve.cli.ingest.bulk.documents import SourceDocument
from serve.cli.ingest.bulk.options import RowOptions
from serve.cli.ingest.bulk.sources import Sources, open_roots
from tests.patience import PATIENCE_S

BUCKET = "ragserve-test"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of the server. It is named in the environment, as a deployment does it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None
        assert time.monotonic() < end
        try:
            httpx.put(f"{url}/{BUCKET}", trust_env=False).raise_for_status()
            break
        except httpx.TransportError:
            time.sleep(0.05)
    variables = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
            patch.setenv(name, value)
        yield url
    process.kill()
    process.wait()


def test_uploaded_files_live_in_s3(s3: str, tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/uploads"
    blobs, other = open_blobs(url), open_blobs(url)
    content = os.urandom(6 * 1024**2)

    assert blobs.digests() == set()
    digest = blobs.put(content)

    assert (other.exists(digest), other.get(digest) == content, other.digests()) == (True, True, {digest})
    other.delete(digest)
    assert (blobs.exists(digest), blobs.digests()) == (False, set())
    with pytest.raises(NotFoundError):
        blobs.get(digest)

    corpus = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", url)
    file = corpus.files.add("default", "a.md", b"alpha")
    assert corpus.files.content("default", file.file_id) == b"alpha"
    corpus.files.delete("default", file.file_id)
    assert blobs.digests() == set()
    corpus.close()


def test_backups_live_in_s3(s3: str, tmp_path: Path) -> None:
    corpus = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", tmp_path / "files")
    repository = open_repository(f"s3://{BUCKET}/backups")
    retention = Retention(keep_last=1, keep_daily=0, keep_weekly=0)
    ids = [corpus.files.add("default", f"{number}.md", f"# {number}\n".encode()).file_id for number in range(3)]
    first = back_up_if_due(repository, corpus.database, tmp_path / "files", retention)
    corpus.files.delete("default", ids[0])

    with repository.locked(), pytest.raises(BackupUnderWayError):
        back_up_if_due(repository, corpus.database, tmp_path / "files", retention)
    second = back_up_if_due(repository, corpus.database, tmp_path / "files", retention)

    assert (first.num_deleted, second.num_deleted) == (0, 1)
    assert repository.backups() == [second.newest]
    assert len(open_blobs(f"s3://{BUCKET}/backups/files").digests()) == 2
    target = Corpus.open(f"sqlite:///{tmp_path}/restored.db", tmp_path / "restored")
    restore_backup(target.database, tmp_path / "restored", repository.fetch(repository.backups()[0].name, tmp_path))
    assert target.files.content("default", ids[2]) == b"# 2\n"
    with pytest.raises(ConfigError, match="no-such-bucket"):
        back_up_if_due(open_repository("s3://no-such-bucket/x"), corpus.database, tmp_path / "files", retention)
    corpus.close()
    target.close()


def test_a_missing_bucket_is_an_outage_and_no_lost_file(s3: str) -> None:
    with pytest.raises(BlobsUnavailableError):
        open_blobs("s3://no-such-bucket/uploads").put(b"alpha")


def test_documents_are_read_from_s3(s3: str) -> None:
    for name in ("docs/a.md", "docs/deep/b.txt", "docs/skipped.bin", "docs/rows.jsonl"):
        content = b'{"text": "row"}' if name.endswith("jsonl") else name.encode()
        httpx.put(f"{s3}/{BUCKET}/{name}", content=content, trust_env=False).raise_for_status()
    sources = Sources(RowOptions(), {".md", ".txt"})

    documents = [*sources.documents(open_roots([f"s3://{BUCKET}/docs", f"s3://{BUCKET}/docs/*.jsonl"]))]

    contents = {source.name: source.read() for source in documents if isinstance(source, SourceDocument)}
    assert contents == {
        f"{BUCKET}/docs/a.md": b"docs/a.md",
        f"{BUCKET}/docs/deep/b.txt": b"docs/deep/b.txt",
        f"{BUCKET}/docs/rows.jsonl/1.txt": b"row",
    }
    assert len(contents) == len(documents)
