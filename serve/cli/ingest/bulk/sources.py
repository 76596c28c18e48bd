"""The documents behind paths and URLs, in the same order each time, few of them in memory."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors.configuration import ConfigError
from models.filesystem import has_protocol, open_filesystem, protocol_of
from serve.cli.ingest.bulk.documents import MAX_DOCUMENT_BYTES, Source, SourceDocument, UnreadableSource
from serve.cli.ingest.bulk.options import RowOptions
from serve.cli.ingest.bulk.rows import jsonl_documents, lines_of, parquet_documents
from serve.cli.remote import form_name

JSONL_SUFFIXES = (".jsonl", ".ndjson")
PARQUET_SUFFIXES = (".parquet", ".pq")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
GLOB_CHARACTERS = "*?["

Entry = dict[str, Any]  # fsspec's description of a file: name, size, type


@dataclass(frozen=True)
class Root:
    """A path or URL of the command line. `is_folder` tells whether files inside are chosen by their names."""

    url: str
    filesystem: Any
    path: str
    is_folder: bool
    label: str  # what the names of its documents begin with

    @property
    def is_local(self) -> bool:
        return _is_local(self.url)


@dataclass(frozen=True)
class SourceFile:
    """A file of a root, and the name that it has in the service."""

    root: Root
    path: str
    name: str
    size_bytes: int


@dataclass(frozen=True)
class Sources:
    """Reads documents. `extensions` are those of files that a parser reads, such as .md."""

    rows: RowOptions
    extensions: Collection[str]

    def documents(self, roots: Sequence[Root]) -> Iterator[Source]:
        """Every document of every root, by its name in the service. What cannot be read is reported in its place."""
        for source in self._named_as_on_disk(roots):
            yield replace(source, name=form_name(source.name))

    def _named_as_on_disk(self, roots: Sequence[Root]) -> Iterator[Source]:
        for file in chain.from_iterable(map(files_of, roots)):
            if isinstance(file, UnreadableSource):
                yield file
            elif self._is_chosen(file):
                yield from self._documents_of(file)

    def count(self, roots: Sequence[Root]) -> int | None:
        """The number of documents, None if only reading remote files would tell. Raises the storages' own errors."""
        total = 0
        for file in chain.from_iterable(map(files_of, roots)):
            if isinstance(file, UnreadableSource):
                total += 1
            elif self._is_chosen(file):
                number = self._count_of(file)
                if number is None:
                    return None
                total += number
        return total

    def _is_chosen(self, file: SourceFile) -> bool:
        return not file.root.is_folder or suffix_of(file.path) in {*self.extensions, *PARQUET_SUFFIXES}

    def _is_jsonl(self, file: SourceFile) -> bool:
        """In a folder, JSONL is a document like others, unless its text column is named."""
        is_table = not file.root.is_folder or self.rows.text_column is not None
        return is_table and suffix_of(file.path, COMPRESSIONS) in JSONL_SUFFIXES

    def _documents_of(self, file: SourceFile) -> Iterator[Source]:
        if self._is_jsonl(file):
            yield from _read_rows(file, partial(jsonl_documents, name=file.name, options=self.rows))
        elif suffix_of(file.path) in PARQUET_SUFFIXES:
            yield from _read_rows(file, partial(parquet_documents, name=file.name, options=self.rows))
        elif file.size_bytes > MAX_DOCUMENT_BYTES:
            yield UnreadableSource(file.name, f"is larger than {MAX_DOCUMENT_BYTES} bytes; split it into smaller files")
        else:
            read = partial(file.root.filesystem.cat_file, file.path)
            yield SourceDocument(file.name, file.size_bytes, read)

    def _count_of(self, file: SourceFile) -> int | None:
        if suffix_of(file.path) in PARQUET_SUFFIXES:
            from pyarrow.parquet import read_metadata

            with file.root.filesystem.open(file.path, "rb") as content:
                return int(read_metadata(content).num_rows)
        if not self._is_jsonl(file):
            return 1
        if not file.root.is_local:
            return None
        with file.root.filesystem.open(file.path, "rb", compression="infer") as content:
            return sum(line is None or bool(line.strip()) for line in lines_of(content))


def open_roots(urls: Sequence[str]) -> list[Root]:
    """What the paths and URLs name, with globs expanded, each once. Raises ConfigError for one that is missing."""
    roots = (root for url in urls for root in _open(url))
    return list({(protocol_of(root.url), root.path): root for root in roots}.values())


def files_of(root: Root) -> Iterator[SourceFile | UnreadableSource]:
    """Every file of the root, except hidden ones and those behind links to folders, by name within each folder.

    A folder that cannot be listed is reported in its place.
    """
    if not root.is_folder:
        yield SourceFile(root, root.path, root.label, int(root.filesystem.info(root.path).get("size") or 0))
        return
    prefix = root.path.rstrip("/")
    for entry in _entries_below(root.filesystem, root.path):
        if isinstance(entry, UnreadableSource):
            yield entry
            continue
        inside = entry["name"].removeprefix(prefix).lstrip("/")
        yield SourceFile(root, entry["name"], f"{root.label}/{inside}", int(entry.get("size") or 0))


def suffix_of(path: str, ignored: tuple[str, ...] = ()) -> str:
    """The extension in lower case. One of `ignored` at the end, such as .gz, is left out before."""
    name = PurePosixPath(path.lower())
    return PurePosixPath(name.stem).suffix if name.suffix in ignored else name.suffix


def _open(url: str) -> Iterator[Root]:
    if not url.strip():
        raise ConfigError("ingest", "a path is empty; an unset variable of the shell?")
    where = url
    location = url if has_protocol(url) else str(Path(url).resolve())
    filesystem, path = open_filesystem(where, location)
    try:
        info = _info(filesystem, path)
        if info is None and any(character in url for character in GLOB_CHARACTERS):
            matches = sorted(filesystem.glob(path))
            infos = [filesystem.info(match) for match in matches]
        else:
            infos = [] if info is None else [info | {"name": path}]
    except Exception as error:  # each storage's client has errors of its own
        raise ConfigError(where, f"cannot be read: {error}") from error
    if not infos:
        raise ConfigError(where, "does not exist" if _is_local(location) else "does not exist or cannot be reached")
    for entry in infos:
        yield _root(location, filesystem, entry)


def _root(url: str, filesystem: Any, entry: Entry) -> Root:
    if entry["type"] == "other":
        raise ConfigError(str(entry["name"]), "is neither a file nor a folder")
    path, is_folder = str(entry["name"]), entry["type"] == "directory"
    label = PurePosixPath(path).name if _is_local(url) else path.strip("/")
    return Root(url, filesystem, path, is_folder, label or "root")


def _is_local(url: str) -> bool:
    return protocol_of(url) in ("file", "local")


def _info(filesystem: Any, path: str) -> Entry | None:
    try:
        info: Entry = filesystem.info(path)
    except FileNotFoundError:
        return None
    return info


def _entries_below(filesystem: Any, folder: str) -> Iterator[Entry | UnreadableSource]:
    """Files, folder by folder: the entries of one folder and its parents are in memory."""
    try:
        entries = sorted(filesystem.ls(folder, detail=True), key=_name)
    except Exception as error:  # noqa: BLE001, each storage's client has errors of its own
        yield UnreadableSource(folder, f"the folder cannot be listed: {error}")
        return
    for entry in entries:
        name = PurePosixPath(entry["name"]).name
        if name.startswith(".") or entry["name"].rstrip("/") == folder.rstrip("/"):
            continue  # hidden, or the object that stands for the folder itself
        if entry["type"] == "directory":
            yield from _entries_below(filesystem, entry["name"])
        elif entry["type"] == "file" or _is_linked_file(entry):
            yield entry


def _name(entry: Entry) -> str:
    return str(entry["name"])


def _is_linked_file(entry: Entry) -> bool:
    return bool(entry.get("islink")) and os.path.isfile(entry["name"])


def _read_rows(file: SourceFile, documents: Callable[[Any], Iterator[Source]]) -> Iterator[Source]:
    num_rows = 0
    try:
        with file.root.filesystem.open(file.path, "rb", compression="infer") as content:
            for document in documents(content):
                yield document
                num_rows += 1
    except Exception as error:  # noqa: BLE001, each storage's client and each compression has errors of its own
        yield UnreadableSource(file.name, f"cannot be read after {num_rows} rows: {error}")
