"""The files of a node's metrics: one a process and type, and those of ended processes merged into one a type.

A manifest says which merged files count, and which files they replace. It changes in one rename. So a reader sees each
value once, whenever a process dies: also the one that merges.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

ADDITIVE = re.compile(r"(counter|histogram|summary)_(\d+)\.db")
GAUGE = re.compile(r"gauge_[a-z]+_(\d+)\.db")
REPLICA = re.compile(r"(\d+)\.replica")  # the name of a process' replica
ENDED = re.compile(r"(counter|histogram|summary)_\d+-\d+\.db")  # of an ended process, with the time of its renaming
MERGED = re.compile(r"(counter|histogram|summary)_merged-\d+\.db")
MANIFEST, LOCK = "manifest.json", "merging.lock"
ATTEMPTS = 50  # of a reader, if files change meanwhile; a merge changes about ten names


@dataclass(frozen=True)
class Manifest:
    """The merged files that count, and the names of the files whose values they have."""

    merged: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()

    @staticmethod
    def read(folder: Path) -> "Manifest":
        try:
            content = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError:
            return Manifest()
        return Manifest(tuple(content["merged"]), tuple(content["replaced"]))

    def write(self, folder: Path) -> None:
        """In one step: a reader has the old one or this one."""
        new = folder / f"{MANIFEST}.new"
        new.write_text(json.dumps({"merged": self.merged, "replaced": self.replaced}))
        new.replace(folder / MANIFEST)

    def counts(self, name: str) -> bool:
        """Whether the values of this file are not in another one."""
        return name in self.merged if MERGED.fullmatch(name) else name not in self.replaced


class MetricsFiles:
    """The files of a folder. Any process may read them; one at a time merges."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def current(self) -> list[Path]:
        """The files that have every value once; empty ones are left out: their process has just begun."""
        manifest = Manifest.read(self._folder)
        paths = sorted(path for path in self._folder.glob("*.db") if manifest.counts(path.name))
        return [path for path in paths if _has_values(path)]

    def snapshot(self) -> tuple[object, ...]:
        """Equal before and after a look at the files if they stayed the same meanwhile."""
        return Manifest.read(self._folder), tuple(sorted(path.name for path in self._folder.glob("*.db")))

    def clean_up(self) -> None:
        """Delete the gauges of ended processes, and merge their other values. Does nothing while another one merges."""
        with self._merging() as is_mine:
            if is_mine:
                for pattern in (GAUGE, REPLICA):
                    self._delete(path for path, pid in self._of_processes(pattern) if not is_alive(pid))
                self._merge()

    def _merge(self) -> None:
        manifest = Manifest.read(self._folder)
        self._delete(path for path in self._folder.glob("*.db") if not manifest.counts(path.name))
        for path, pid in self._of_processes(ADDITIVE):
            if not is_alive(pid):
                self._set_aside(path, pid)
        ended = [path for path in self._folder.glob("*.db") if ENDED.fullmatch(path.name)]
        self._delete(path for path in ended if not _has_values(path))
        ended = [path for path in ended if path.exists()]
        if not ended:
            return
        earlier = [self._folder / name for name in manifest.merged]
        new = write_merged(self._folder, [*earlier, *ended])
        Manifest(tuple(path.name for path in new), tuple(path.name for path in [*earlier, *ended])).write(self._folder)
        self._delete([*earlier, *ended])

    def _set_aside(self, path: Path, pid: int) -> None:
        """Rename the file of an ended process, so that a later process with its id begins a file of its own.

        If such a process has opened this file just before, it keeps it.
        """
        aside = path.with_name(f"{path.stem}-{time.time_ns()}.db")
        path.rename(aside)
        if is_alive(pid):
            with suppress(FileExistsError):  # it has begun a file of its own
                os.link(aside, path)
                aside.unlink()

    def _of_processes(self, pattern: re.Pattern[str]) -> Iterator[tuple[Path, int]]:
        """The files with such a name, and the process of each."""
        for path in list(self._folder.iterdir()):
            if match := pattern.fullmatch(path.name):
                yield path, int(match.groups()[-1])

    @contextmanager
    def _merging(self) -> Iterator[bool]:
        """Whether this process alone merges, until the block ends. The lock ends with its process."""
        with (self._folder / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @staticmethod
    def _delete(paths: Iterable[Path]) -> None:
        for path in list(paths):
            path.unlink(missing_ok=True)


def write_merged(folder: Path, paths: list[Path]) -> list[Path]:
    """A file for each type, with the sums of the values. It counts once the manifest names it."""
    sums: dict[str, dict[str, float]] = {}
    for path in paths:
        values = sums.setdefault(path.name.split("_")[0], {})
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            values[key] = values.get(key, 0.0) + value
    return [_write(folder / f"{kind}_merged-{time.time_ns()}.db", values) for kind, values in sums.items()]


def _write(path: Path, values: dict[str, float]) -> Path:
    merged = MmapedDict(str(path))  # type: ignore[no-untyped-call]
    for key, value in values.items():
        merged.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    merged.close()  # type: ignore[no-untyped-call]
    return path


def is_alive(pid: int) -> bool:
    return Path("/proc", str(pid)).exists()


def _has_values(path: Path) -> bool:
    """Not so an empty file, and one that its process has under its old name as well: see `_set_aside`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    is_double = status.st_nlink > 1 and ENDED.fullmatch(path.name) is not None
    return status.st_size > 0 and not is_double
