"""Copies a folder; on a file system that can share blocks (btrfs, XFS) the copy takes no time and no space."""

import os
import shutil
from pathlib import Path

BLOCK_BYTES = 1 << 30


def copy_folder(source: Path, target: Path) -> Path:
    """Copies all files of `source` to `target`, which must not exist."""
    shutil.copytree(source, target, copy_function=_copy_file)
    return target


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as reader, open(target, "wb") as writer:
        # The kernel shares the blocks where it can, and copies them otherwise.
        while os.copy_file_range(reader.fileno(), writer.fileno(), BLOCK_BYTES):
            pass
