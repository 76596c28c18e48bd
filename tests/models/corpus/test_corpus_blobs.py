import hashlib
from pathlib import Path

import pytest

from models.corpus.blobs import FolderBlobStore
from models.errors.requests import NotFoundError


def test_content_is_found_under_its_sha256(state_folder: Path) -> None:
    blobs = FolderBlobStore(state_folder)

    digest = blobs.put(b"abc")

    assert digest == hashlib.sha256(b"abc").hexdigest()
    assert blobs.exists(digest)
    assert blobs.get(digest) == b"abc"


def test_putting_twice_keeps_one_file_and_no_leftovers(state_folder: Path) -> None:
    blobs = FolderBlobStore(state_folder)

    blobs.put(b"abc")
    blobs.put(b"abc")

    assert len([path for path in state_folder.rglob("*") if path.is_file()]) == 1


def test_a_deleted_blob_is_gone_and_can_be_put_again(state_folder: Path) -> None:
    blobs = FolderBlobStore(state_folder)
    digest = blobs.put(b"abc")

    blobs.delete(digest)
    blobs.delete(digest)

    assert not blobs.exists(digest)
    with pytest.raises(NotFoundError, match="blob"):
        blobs.get(digest)
    assert blobs.put(b"abc") == digest


def test_an_interrupted_write_leaves_no_blob(state_folder: Path) -> None:
    blobs = FolderBlobStore(state_folder)
    digest = hashlib.sha256(b"abc").hexdigest()
    (state_folder / digest[:2]).mkdir()
    (state_folder / digest[:2] / ".incoming-crashed").write_bytes(b"a")

    existed = blobs.exists(digest)
    blobs.put(b"abc")

    assert not existed
    assert blobs.get(digest) == b"abc"
