"""Snapshots of indexes on disk: a searcher starts from one and reads only the tail of the log."""

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar, cast

from models.corpus.records import Head
from models.errors import ConflictError
from models.index.base import DenseIndex, LexicalIndex, Snapshotting

logger = logging.getLogger(__name__)

Index = TypeVar("Index", DenseIndex, LexicalIndex)
HEAD_FILE = "head.json"


@dataclass(frozen=True)
class Snapshots:
    """A folder of snapshots, shared by the replicas of one machine. Each is whole or not there."""

    root: Path

    def save(self, name: tuple[str, ...], head: Head, index: DenseIndex | LexicalIndex) -> None:
        """Puts the index as of `head` in place of older snapshots of that name."""
        folder = self._folder(name)
        unfinished = folder / f"unfinished-{uuid.uuid4().hex}"
        unfinished.mkdir(parents=True)
        try:
            _snapshotting(index).save(unfinished)
            state = asdict(head) | {"dim": getattr(index, "dim", 0)}
            (unfinished / HEAD_FILE).write_text(json.dumps(state))
            finished = folder / f"{head.seq:020}-{uuid.uuid4().hex}"
            unfinished.rename(finished)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for other in _finished(folder):
            if other != finished:
                # Another replica may be reading it: then it finds it damaged, and reads the log instead.
                shutil.rmtree(other, ignore_errors=True)

    def load(self, name: tuple[str, ...], head: Head, make: Callable[[int], Index]) -> tuple[Index, int] | None:
        """The newest snapshot of this log that is not past `head`, and the number it is level with; None without one.

        `make` gives an empty index for a number of dimensions, which is 0 for words.
        """
        for folder in reversed(_finished(self._folder(name))):
            try:
                state = json.loads((folder / HEAD_FILE).read_text())
                if state["log_id"] == head.log_id and state["seq"] <= head.seq:
                    index = make(state["dim"])
                    _snapshotting(index).load(folder)
                    return index, state["seq"]
            except (OSError, ValueError, KeyError, ConflictError) as error:
                logger.warning("a snapshot is of no use, the log is read instead: %s", error)
        return None

    def delete(self, name: tuple[str, ...]) -> None:
        shutil.rmtree(self._folder(name), ignore_errors=True)

    def _folder(self, name: tuple[str, ...]) -> Path:
        # Tenants and ids are the callers' words: never a path.
        return self.root / hashlib.sha256("\0".join(name).encode()).hexdigest()[:32]


def _snapshotting(index: DenseIndex | LexicalIndex) -> Snapshotting:
    # Snapshots are configured only for kinds of index that can be saved.
    return cast(Snapshotting, index)


def _finished(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in folder.glob("*-*") if not path.name.startswith("unfinished-"))
