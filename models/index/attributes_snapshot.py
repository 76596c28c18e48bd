"""The state file of an index snapshot: format, attributes of the files, and checksums."""

import json
import zlib
from pathlib import Path
from typing import Any

from models.errors.requests import ConflictError
from models.filters import Attributes
from models.index.attributes import FileAttributes

STATE_FILE = "index.json"
FORMAT = 1
READ_BYTES = 1 << 20


def write_state(folder: Path, kind: dict[str, Any], attributes: FileAttributes) -> None:
    """Write the state file, the last file of a snapshot. A reader must expect the same `kind`."""
    checksums = {str(path.relative_to(folder)): _checksum(path) for path in _files(folder)}
    by_file = [[file_key, values] for file_key, values in attributes.by_file().items()]
    state = {"format": FORMAT, "kind": kind, "checksums": checksums, "attributes": by_file}
    (folder / STATE_FILE).write_text(json.dumps(state))


def read_state(folder: Path, kind: dict[str, Any]) -> dict[int, Attributes]:
    """Return the attributes by file key. Raises ConflictError unless it is a complete snapshot of this `kind`."""
    try:
        state = json.loads((folder / STATE_FILE).read_text())
        if (state["format"], state["kind"]) != (FORMAT, kind):
            actual = f"{state['kind']} in format {state['format']}"
            raise ConflictError(f"the snapshot in {folder} is of {actual}, not of {kind} in format {FORMAT}")
        for name, checksum in state["checksums"].items():
            if _checksum(folder / name) != checksum:
                raise ConflictError(f"the snapshot in {folder} is damaged: {name} does not match its checksum")
        return dict(state["attributes"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConflictError(f"there is no complete snapshot in {folder}: {error}") from error


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum
