"""Uploaded files outside a folder: fsspec's own storages here, a server of S3 in test_bulk_s3.py."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from corpus_samples import STORE, TENANT, Clock, ingest
from fsspec.implementations.memory import MemoryFileSystem

from models.corpus.backup.create import create_backup
from models.corpus.backup.restore import restore_backup
from models.corpus.blobs import BlobStore, FolderBlobStore
from models.corpus.corpus import Corpus
from models.corpus.remote_blobs import RemoteBlobStore, open_blobs
from models.errors.configuration import ConfigError
from models.errors.requests import NotFoundError
from models.errors.storage import BlobsUnavailableError


@pytest.fixture
def memory_url() -> Iterator[str]:
    """A folder of this process' memory."""
    folder = f"/{uuid4().hex}"
    yield f"memory:/{folder}"
    with suppress(FileNotFoundError):
        MemoryFileSystem().rm(folder, recursive=True)


@pytest.fixture(params=["memory", "file"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    url = request.getfixturevalue("memory_url") if request.param == "memory" else (tmp_path / "new files").as_uri()
    return open_blobs(url)


def names_in(url: str) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in MemoryFileSystem().find(url.removeprefix("memory:/")))


def test_content_is_stored_once_under_its_sha256_and_deleted(blobs: BlobStore) -> None:
    assert blobs.digests() == set()
    digest = blobs.put(b"abc")

    assert blobs.put(b"abc") == digest == hashlib.sha256(b"abc").hexdigest()
    assert (blobs.exists(digest), blobs.get(digest), blobs.digests()) == (True, b"abc", {digest})

    blobs.delete(digest)
    blobs.delete(digest)

    assert (blobs.exists(digest), blobs.digests()) == (False, set())
    with pytest.raises(NotFoundError, match="blob"):
        blobs.get(digest)


def test_a_local_url_is_a_folder_that_is_synced(tmp_path: Path) -> None:
    assert isinstance(open_blobs(tmp_path.as_uri()), FolderBlobStore)


def test_a_put_leaves_no_other_object(memory_url: str) -> None:
    digest = open_blobs(memory_url).put(b"abc")

    assert names_in(memory_url) == [digest]


def test_a_half_written_object_is_no_blob_and_is_written_again(memory_url: str) -> None:
    blobs, digest = open_blobs(memory_url), hashlib.sha256(b"abc").hexdigest()
    root = memory_url.removeprefix("memory:/")
    MemoryFileSystem().pipe_file(f"{root}/.incoming-1", b"ab")
    MemoryFileSystem().pipe_file(f"{root}/{digest[:2]}/{digest}", b"a")

    assert blobs.digests() == {digest}
    blobs.put(b"abc")

    assert blobs.get(digest) == b"abc"


class BrokenStorage(MemoryFileSystem):
    """A storage that answers nothing, and has errors of its own kind."""

    cachable = False

    def info(self, path: str, **_: object) -> None:
        raise RuntimeError(f"no route to {path}")

    cat_file = rm_file = find = info


@pytest.mark.parametrize("call", ["put", "get", "delete", "exists", "digests"])
def test_a_storage_that_fails_is_one_typed_error(memory_url: str, call: str) -> None:
    blobs = RemoteBlobStore(memory_url)
    blobs._files = BrokenStorage()
    arguments = {"put": (b"abc",), "digests": ()}.get(call, ("a" * 64,))

    with pytest.raises(BlobsUnavailableError, match="no route"):
        getattr(blobs, call)(*arguments)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("gs://bucket/folder", "needs the package gcsfs"),
        ("nosuch://bucket", "nosuch"),
        ("s3://user:secret@bucket/folder", "user name"),
        ("simplecache::s3://bucket", "plain URL"),
        ("s3://bucket/\nfolder", "plain URL"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as failure:
        open_blobs(url)

    assert "secret@" not in str(failure.value)


def test_a_corpus_ingests_backs_up_and_restores_with_remote_files(
    state_folder: Path, memory_url: str, clock: Clock
) -> None:
    url = f"sqlite:///{state_folder}/remote.db"
    corpus = Corpus.open(url, memory_url, clock)
    file_id = ingest(corpus, "a.md", "alpha")
    create_backup(corpus.database, memory_url, state_folder / "backup")
    corpus.files.replace(TENANT, file_id, b"beta")
    newer = names_in(memory_url)

    restore_backup(corpus.database, memory_url, state_folder / "backup", replace=True)

    assert corpus.files.content(TENANT, file_id) == b"alpha"
    assert names_in(memory_url) != newer
    assert len(names_in(memory_url)) == 1
    corpus.files.delete(TENANT, file_id)
    assert names_in(memory_url) == []
    assert corpus.vector_stores.get(TENANT, STORE).file_counts.total == 0
    corpus.close()
