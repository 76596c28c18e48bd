"""The corpus as a caller sees it who is limited to vector stores, or to documents: what is elsewhere does not exist.

Denied by default: a method of the corpus that is not in ALLOWED or APART is refused.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from models.corpus.chunking import INHERITED, ChosenChunking
from models.corpus.corpus import Corpus
from models.corpus.file_batches import BatchItem, FileBatches
from models.corpus.files import Files, stores_with
from models.corpus.records import Duplicate, File, FileBatch, Page, PageRequest, StoredChunk, StoreFile
from models.corpus.store_files import StoreFiles
from models.corpus.vector_stores import VectorStores
from models.errors.access import ForbiddenError
from models.errors.requests import NotFoundError
from models.filters import Attributes, matches
from serve.access.caller import Caller
from serve.access.readers import readable_filter

S = TypeVar("S")


def check_store(caller: Caller, vector_store_id: str) -> None:
    """Raises NotFoundError for a vector store that the caller may not see."""
    if caller.vector_stores is not None and vector_store_id not in caller.vector_stores:
        raise NotFoundError("vector store", vector_store_id)


# What a limited caller reaches of the corpus: by the name in Corpus, the methods. All others are refused. A method is
# allowed only if it is checked below, or concerns the vector store in the path, which services.py checks.
ALLOWED: dict[str, frozenset[str]] = {
    "files": frozenset(["add", "get", "page", "content", "text"]),
    "vector_stores": frozenset(["touch", "get", "modify", "index_size"]),
    "store_files": frozenset(["attach", "set_attributes", "chunks", "get", "page", "detach"]),
    "file_batches": frozenset(["create", "get", "cancel", "files"]),
    "filtered_files": frozenset(["delete", "update"]),
    "generations": frozenset(["progress"]),
}
# These take the tenant first, and get the part of it that is for the caller's rights alone.
APART: dict[str, frozenset[str]] = {
    "responses": frozenset(
        ["add", "finish", "cancel", "get", "delete", "inputs", "history", "items_by_id", "stored_under"]
    ),
    "conversations": frozenset(
        ["create", "get", "set_metadata", "delete", "append", "append_new", "page", "item", "delete_item", "history"]
    ),
}

# These take no tenant: `unfinished` takes the keys of responses as they are stored.
AS_STORED = frozenset(["clock", "unfinished"])


def limited_view(corpus: Corpus, caller: Caller) -> Corpus:
    """The corpus of a caller who is limited; of any other, the corpus itself."""
    if not caller.is_limited:
        return corpus
    files, stores, store_files = corpus.files, corpus.vector_stores, corpus.store_files
    batches = corpus.file_batches
    checked = replace(
        corpus,
        files=_Files(files.database, files.blobs, files.clock, caller, store_files, leftovers=files.leftovers),
        store_files=_StoreFiles(store_files.database, store_files.clock, caller),
        file_batches=_FileBatches(batches.database, batches.clock, caller, store_files),
        vector_stores=_VectorStores(stores.database, stores.clock, caller),
        # A response may quote any vector store: it is kept apart from those of keys with other rights.
        responses=_kept_apart(corpus.responses, caller, APART["responses"]),
        conversations=_kept_apart(corpus.conversations, caller, APART["conversations"]),
    )
    names = (each.name for each in fields(Corpus) if each.name not in APART)
    allowed: dict[str, Any] = {name: _Allowed(name, getattr(checked, name)) for name in names}
    return replace(checked, **allowed)


class _Allowed:
    """A store of which only the methods in ALLOWED can be called."""

    def __init__(self, name: str, store: object) -> None:
        self._name, self._store = name, store

    def __getattr__(self, method: str) -> Any:
        if method not in ALLOWED.get(self._name, ()):
            raise ForbiddenError("the caller sees a part of the documents alone, and this concerns all of them")
        return getattr(self._store, method)


@dataclass(frozen=True)
class _VectorStores(VectorStores):
    caller: Caller

    def touch(self, tenant: str, vector_store_ids: Sequence[str]) -> list[dict[str, str]]:
        for vector_store_id in vector_store_ids:
            check_store(self.caller, vector_store_id)
        return super().touch(tenant, vector_store_ids)


@dataclass(frozen=True)
class _StoreFiles(StoreFiles):
    """Files that let the caller read them."""

    caller: Caller

    def get(self, tenant: str, vector_store_id: str, file_id: str) -> StoreFile:
        self._check(tenant, vector_store_id, file_id)
        file = super().get(tenant, vector_store_id, file_id)
        return replace(file, duplicates=self._readable(tenant, vector_store_id, file.duplicates))

    def chunks(self, tenant: str, vector_store_id: str, file_id: str) -> tuple[StoredChunk, ...]:
        self._check(tenant, vector_store_id, file_id)
        return super().chunks(tenant, vector_store_id, file_id)

    def attach(
        self,
        tenant: str,
        vector_store_id: str,
        file_id: str,
        chunking: ChosenChunking = INHERITED,
        attributes: Attributes | None = None,
    ) -> StoreFile:
        _check_attachable(self, self.caller, tenant, file_id)
        return super().attach(tenant, vector_store_id, file_id, chunking, attributes)

    def _readable(
        self, tenant: str, vector_store_id: str, duplicates: tuple[Duplicate, ...] | None
    ) -> tuple[Duplicate, ...] | None:
        """Without files that the caller may not read: that one has the same text says what is in it."""
        if duplicates is None or self.caller.readers is None:
            return duplicates
        return tuple(
            each for each in duplicates if vector_store_id in _stores_with(self, self.caller, tenant, each.file_id)
        )

    def _check(self, tenant: str, vector_store_id: str, file_id: str) -> None:
        if vector_store_id not in _stores_with(self, self.caller, tenant, file_id):
            raise NotFoundError("file", file_id)


@dataclass(frozen=True)
class _FileBatches(FileBatches):
    caller: Caller
    store_files: StoreFiles

    def create(self, tenant: str, vector_store_id: str, items: Sequence[BatchItem]) -> FileBatch:
        for item in items:
            _check_attachable(self.store_files, self.caller, tenant, item.file_id)
        return super().create(tenant, vector_store_id, items)


@dataclass(frozen=True)
class _Files(Files):
    """Files that are in one of the caller's vector stores, and let the caller read them."""

    caller: Caller
    store_files: StoreFiles

    def get(self, tenant: str, file_id: str) -> File:
        self._check(tenant, file_id)
        return super().get(tenant, file_id)

    def content(self, tenant: str, file_id: str) -> bytes:
        self._check(tenant, file_id)
        return super().content(tenant, file_id)

    def text(self, tenant: str, file_id: str, vector_store_id: str | None = None) -> str:
        if vector_store_id is not None:
            check_store(self.caller, vector_store_id)
        self._check(tenant, file_id, vector_store_id)
        return super().text(tenant, file_id, vector_store_id)

    def page(
        self, tenant: str, request: PageRequest, purpose: str | None = None, filename: str | None = None
    ) -> Page[File]:
        raise ForbiddenError("the caller sees a part of the documents alone, and cannot list all files")

    def _may_reuse(self, connection: Connection, tenant: str, file_id: str) -> bool:
        return _is_attachable(self.caller, stores_with(connection, tenant, file_id))

    def _check(self, tenant: str, file_id: str, vector_store_id: str | None = None) -> None:
        stores = _stores_with(self.store_files, self.caller, tenant, file_id)
        if not stores or (vector_store_id is not None and vector_store_id not in stores):
            raise NotFoundError("file", file_id)


def _check_attachable(store_files: StoreFiles, caller: Caller, tenant: str, file_id: str) -> None:
    """Raises NotFoundError for a file of other vector stores: to attach it would be to read it.

    A file without a vector store has just been uploaded.
    """
    if not _is_attachable(caller, store_files.attributes_of(tenant, file_id)):
        raise NotFoundError("file", file_id)


def _is_attachable(caller: Caller, stores: Collection[str]) -> bool:
    return not stores or caller.vector_stores is None or not caller.vector_stores.isdisjoint(stores)


def _stores_with(store_files: StoreFiles, caller: Caller, tenant: str, file_id: str) -> set[str]:
    """The vector stores in which the caller may read the file."""
    where = None if caller.readers is None else readable_filter(caller.readers)
    return {
        store
        for store, attributes in store_files.attributes_of(tenant, file_id).items()
        if (caller.vector_stores is None or store in caller.vector_stores)
        and (where is None or matches(where, attributes))
    }


def _kept_apart(store: S, caller: Caller, allowed: frozenset[str]) -> S:
    """A store whose every method takes the tenant first, with a part of the tenant for these rights alone.

    For a caller with readers, it is the caller's own: groups may change, and who talked stays the same.
    """
    rights = "\n".join(sorted(caller.vector_stores or ()))
    if caller.readers is not None:
        rights += f"\n\n{caller.actor}"
    partition = f"{caller.tenant}/{hashlib.sha256(rights.encode()).hexdigest()[:32]}"  # a tenant has no slash
    return cast(S, _Apart(store, caller.tenant, partition, allowed))


class _Apart:
    def __init__(self, store: object, tenant: str, partition: str, allowed: frozenset[str]) -> None:
        self._store, self._tenant, self._partition, self._allowed = store, tenant, partition, allowed

    def __getattr__(self, name: str) -> Any:
        if name in AS_STORED:
            return getattr(self._store, name)
        if name not in self._allowed:
            raise ForbiddenError("the caller sees a part of the documents alone, and this concerns all of them")
        return self._in_partition(getattr(self._store, name))

    def _in_partition(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(tenant: str, *arguments: Any, **named: Any) -> Any:
            assert tenant == self._tenant, "a caller reaches its own tenant alone"
            return method(self._partition, *arguments, **named)

        return call
