"""Archives: zip, tar, tar.gz and a single file under gzip. Nothing is written to a disk."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from models.documents.base import Document
from models.documents.parsers.base import Member
from models.documents.signatures import GZIP, TAR, ZIP, signature_of
from models.errors.requests import UnreadableDocumentError

BROKEN = (
    *(zipfile.BadZipFile, zlib.error, tarfile.TarError, EOFError, OSError),
    *(KeyError, ValueError, RuntimeError, NotImplementedError, OverflowError),
)
LOCKED, LINKS, HIDDEN, DAMAGED = "encrypted files", "links and devices", "hidden files", "damaged files"
ENCRYPTED_FLAG = 0x1


class ArchiveConfig(BaseModel):
    """An entry of kind `archive`. The limits hold for what is unpacked, whatever the archive claims."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_files: int = Field(default=10_000, ge=1, le=1_000_000, description="An archive of more files is refused.")
    max_unzipped_bytes: int = Field(
        default=256 * 2**20, ge=2**20, le=2**32, description="An archive that unpacks to more bytes is refused."
    )


class ArchiveParser:
    """A Parser and Container of kind `archive`. Archives inside an archive are not opened."""

    config_class = ArchiveConfig
    is_archive = True

    def __init__(self, name: str, config: ArchiveConfig) -> None:
        self._config = config

    def recognizes(self, content: bytes) -> bool:
        signature = signature_of(content)
        return signature in (GZIP, TAR) or (signature is ZIP and _is_plain_archive(content))

    def parse(self, content: bytes, filename: str) -> Document:
        """Nothing: an archive has no text beside its files."""
        return Document("", ())

    def members(self, content: bytes, filename: str) -> Iterator[Member]:
        """The files in the archive's order, by path. Hidden files, links and encrypted files are left out."""
        signature = signature_of(content)
        room = _Room(filename, self._config)
        try:
            if signature is ZIP:
                yield from _zip_members(content, room)
            elif signature is GZIP or signature is TAR:
                yield from _tar_members(content, filename, room)
            else:
                raise ValueError("no archive")
        except BROKEN as error:
            detail = "not a readable archive: damaged or cut short; pack it again"
            raise UnreadableDocumentError(filename, "invalid_file", detail) from error


def _is_plain_archive(content: bytes) -> bool:
    """Whether a zip archive is no document of a program that nobody reads here, such as a drawing of Visio."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except BROKEN:
        return False
    return "[Content_Types].xml" not in names and names[:1] != ["mimetype"]


class _Room:
    """What may still be unpacked. Raises UnreadableDocumentError past a limit."""

    def __init__(self, filename: str, config: ArchiveConfig) -> None:
        self._filename, self._config = filename, config
        self._num_bytes, self._num_files = config.max_unzipped_bytes, config.max_files

    def count_file(self) -> None:
        self._num_files -= 1
        if self._num_files < 0:
            self._refuse(f"more than {self._config.max_files:,} files")

    @property
    def num_bytes(self) -> int:
        return self._num_bytes

    def take(self, num_bytes: int) -> None:
        self._num_bytes -= num_bytes
        if self._num_bytes < 0:
            self._refuse(f"unpacks to more than {self._config.max_unzipped_bytes:,} bytes")

    def _refuse(self, problem: str) -> None:
        raise UnreadableDocumentError(self._filename, "invalid_file", f"{problem}; split the archive")


def _zip_members(content: bytes, room: _Room) -> Iterator[Member]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            room.count_file()
            if entry.is_dir():
                continue
            path = _shown_path(entry.filename)
            if entry.flag_bits & ENCRYPTED_FLAG:
                yield Member(path, None, LOCKED)
            elif _is_hidden(path):
                yield Member(path, None, HIDDEN)
            else:
                yield _unpacked(archive, entry, path, room)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str, room: _Room) -> Member:
    try:
        with archive.open(entry) as stream:
            unpacked = stream.read(room.num_bytes + 1)
    except BROKEN:
        return Member(path, None, DAMAGED)
    room.take(len(unpacked))
    return Member(path, unpacked)


def _tar_members(content: bytes, filename: str, room: _Room) -> Iterator[Member]:
    """The files of a tar archive, packed or not; a packed file that is no tar archive is one file."""
    if content.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            content = packed.read(room.num_bytes + 1)
        room.take(len(content))
        if signature_of(content) is not TAR:
            yield Member(PurePosixPath(filename).name.removesuffix(".gz") or "file", content)
            return
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for entry in archive:
            room.count_file()
            path = _shown_path(entry.name)
            if entry.isdir():
                continue
            stream = archive.extractfile(entry) if entry.isreg() else None
            if stream is None or _is_hidden(path):
                yield Member(path, None, HIDDEN if _is_hidden(path) else LINKS)
            else:
                unpacked = stream.read(room.num_bytes + 1)
                room.take(len(unpacked))
                yield Member(path, unpacked)


def _shown_path(path: str) -> str:
    """The path as a heading: without steps upwards, drives and empty names. No file is written under it."""
    names = [name for name in path.replace("\\", "/").split("/") if name not in ("", ".", "..")]
    return "/".join(name for name in names if not name.endswith(":")) or "file"


def _is_hidden(path: str) -> bool:
    """Files of the system, such as .git and __MACOSX."""
    return any(name.startswith(".") or name == "__MACOSX" for name in path.split("/"))
