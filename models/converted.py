"""Weights that are converted once, in a folder that is complete whenever it exists. For all kinds with such weights."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NAME_DIGITS = 12


def package_file(package: str, pattern: str) -> Path | None:
    """The package's first file of this pattern by name; None if the package is not installed or has none."""
    spec = importlib.util.find_spec(package)  # of a top-level name: this does not run the package's code
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((path for folder in folders for path in sorted(Path(folder).glob(pattern))), None)


def converted_once(file: Path, cache: Path, version: int, convert: Callable[[Path, Path], None]) -> Path:
    """The folder in `cache` that `convert(file, folder)` wrote, for these bytes of the file and this version of it.

    The first process converts; others wait for it. Raises OSError, and ValueError for a file that is not sound.
    """
    folder = cache / f"{file.stem}-{_digest(file)}-{version}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _convert_whole(file, folder, convert)
    return folder


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:NAME_DIGITS]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The system frees the lock of a process that dies."""
    with path.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _convert_whole(file: Path, folder: Path, convert: Callable[[Path, Path], None]) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        convert(file, partial)
        os.rename(partial, folder)
    except (IndexError, KeyError, ValueError, struct.error) as error:  # of readers that expect a sound file
        raise ValueError(f"{file} cannot be converted: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
