"""The data folder belongs to one `ragserve up` at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors.configuration import ConfigError
from serve.cli.data_folder import check_writable, owned
from tests.conftest import ROOT

OWNER = """
import sys
from pathlib import Path
from serve.cli.data_folder import check_writable, owned
with owned(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


def owner(folder: Path) -> subprocess.Popen[str]:
    """A process that owns the folder until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "owned\n"
    return process


def test_a_folder_in_use_is_refused_and_its_process_named(tmp_path: Path) -> None:
    process = owner(tmp_path)

    problem = f"in use by another `ragserve up`, process {process.pid}; choose"
    with pytest.raises(ConfigError, match=problem), owned(tmp_path):
        pass
    process.communicate("")

    with owned(tmp_path):
        pass


def test_a_killed_owner_leaves_the_folder_free(tmp_path: Path) -> None:
    process = owner(tmp_path)

    process.kill()
    process.communicate()

    with owned(tmp_path / "."):
        assert str(os.getpid()) in "".join(path.read_text() for path in tmp_path.glob(".*.lock"))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="file cannot be written: "), owned(tmp_path / "file"):
        pass


def test_a_read_only_place_is_refused_with_its_purpose() -> None:
    with pytest.raises(ConfigError, match=r"^/proc/ragserve: cannot be written: .*; Ray keeps .* needs a tmpfs there$"):
        check_writable(Path("/proc/ragserve"), "Ray keeps its session there")


def test_a_missing_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    check_writable(tmp_path / "home", "Ray keeps its token there")

    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
