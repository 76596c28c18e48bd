"""Snapshots of indexes on disk: a searcher loads one and then reads only newer changes from the log."""

import hashlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar, cast

from models.corpus.records import Head
from models.errors.requests import ConflictError
from models.index.base import FollowedIndex, Snapshotting

logger = logging.getLogger(__name__)

Index = TypeVar("Index", bound=FollowedIndex)
HEAD_FILE = "head.json"
ABANDONED_S = 3_600  # since an unfinished snapshot was begun; a save takes seconds


@dataclass(frozen=True)
class Snapshots:
    """A folder of snapshots, shared by the replicas of one machine. Each snapshot is complete or absent."""

    root: Path

    def save(self, name: tuple[str, ...], head: Head, index: FollowedIndex) -> None:
        """Save the index as of `head`, and delete older snapshots of that name."""
        folder = self._folder(name)
        unfinished = folder / f"unfinished-{uuid.uuid4().hex}"
        unfinished.mkdir(parents=True)
        try:
            _snapshotting(index).save(unfinished)
            state = asdict(head) | {"dim": getattr(index, "dim", 0), "name": name}
            (unfinished / HEAD_FILE).write_text(json.dumps(state))
            finished = folder / f"{head.seq:020}-{uuid.uuid4().hex}"
            unfinished.rename(finished)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for snapshot in [*_finished(folder), *_abandoned(folder)]:
            if snapshot != finished:
                # A replica that is reading it finds it damaged, and reads the log instead.
                shutil.rmtree(snapshot, ignore_errors=True)

    def load(self, name: tuple[str, ...], head: Head, make: Callable[[int], Index]) -> tuple[Index, int] | None:
        """Load the newest snapshot of this log up to `head`: the index and its sequence number. None without one.

        `make` creates an empty index of a dimension, which is 0 except for dense search.
        """
        for folder in reversed(_finished(self._folder(name))):
            try:
                state = json.loads((folder / HEAD_FILE).read_text())
                if state["log_id"] == head.log_id and state["seq"] <= head.seq:
                    index = make(state["dim"])
                    _snapshotting(index).load(folder)
                    return index, state["seq"]
            except (OSError, ValueError, KeyError, ConflictError) as error:
                logger.warning("a snapshot cannot be used, so the log is read instead: %s", error)
        return None

    def delete(self, name: tuple[str, ...]) -> None:
        shutil.rmtree(self._folder(name), ignore_errors=True)

    def sweep(self, is_live: Callable[[tuple[str, ...]], bool]) -> None:
        """Delete the snapshots of dead names, such as a store that was deleted while no replica ran."""
        for head_file in self.root.glob(f"*/*/{HEAD_FILE}"):
            with suppress(OSError, ValueError, LookupError):  # being deleted, or of an earlier release
                name = tuple(json.loads(head_file.read_text())["name"])
                if not is_live(name):
                    self.delete(name)

    def _folder(self, name: tuple[str, ...]) -> Path:
        # Tenants and ids come from callers, so they must not become a path.
        return self.root / hashlib.sha256("\0".join(name).encode()).hexdigest()[:32]


def _snapshotting(index: FollowedIndex) -> Snapshotting:
    # Snapshots are configured only for kinds of index that can be saved.
    return cast(Snapshotting, index)


def _finished(folder: Path) -> list[Path]:
    """List the complete snapshots, the oldest first."""
    return sorted(path for path in folder.glob("*-*") if not path.name.startswith("unfinished-"))


def _abandoned(folder: Path) -> list[Path]:
    """List the unfinished snapshots of processes that were killed."""
    begun_before = time.time() - ABANDONED_S
    return [path for path in folder.glob("unfinished-*") if path.stat().st_mtime < begun_before]
