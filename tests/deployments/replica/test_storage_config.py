from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments.replica.storage import StorageConfig


def test_uploaded_files_are_in_the_data_folder_by_default() -> None:
    assert StorageConfig(data_dir=Path("/data")).blob_root == Path("/data/files")


def test_uploaded_files_may_be_behind_a_url(tmp_path: Path) -> None:
    storage = StorageConfig(data_dir=tmp_path / "data", blobs_url=(tmp_path / "elsewhere").as_uri())

    corpus = storage.open()
    corpus.files.add("default", "a.md", b"alpha")
    corpus.close()

    assert len(list((tmp_path / "elsewhere").glob("??/*"))) == 1
    assert not (tmp_path / "data" / "files").exists()


WRONG = ["bucket/folder", "memory://files", "s3://key:secret@bucket", "s3://bucket\n", "a::b://c"]


@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_loses_files_or_shows_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as failure:
        StorageConfig(blobs_url=url)

    assert "blobs_url" in str(failure.value)
