from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.cli.ingest.listening import Listening, listening_in


@pytest.fixture
def keys_file() -> Path | None:
    return None


@pytest.fixture
def listening(tmp_path: Path, keys_file: Path | None) -> Iterator[Listening]:
    with listening_in(tmp_path, keys_file) as listening:
        yield listening
