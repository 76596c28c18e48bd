"""The corpus as a caller sees it who is limited to vector stores, or to documents: what is elsewhere does not exist."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar, cast

from models.corpus.corpus import Corpus
from models.corpus.files import Files
from models.corpus.records import File, Page, PageRequest, StoredChunk, StoreFile
from models.corpus.store_files import StoreFiles
from models.corpus.vector_stores import VectorStores
from models.errors import ForbiddenError, NotFoundError
from models.filters import matches
from serve.access.caller import Caller
from serve.access.readers import readable_filter

S = TypeVar("S")


def check_store(caller: Caller, vector_store_id: str) -> None:
    """Raises NotFoundError for a vector store that the caller may not see."""
    if caller.vector_stores is not None and vector_store_id not in caller.vector_stores:
        raise NotFoundError("vector store", vector_store_id)


def limited_view(corpus: Corpus, caller: Caller) -> Corpus:
    """The corpus of a caller who is limited; of any other, the corpus itself."""
    if not caller.is_limited:
        return corpus
    files, stores = corpus.files, corpus.vector_stores
    return replace(
        corpus,
        files=_Files(files.database, files.blobs, files.clock, caller, corpus.store_files),
        store_files=_StoreFiles(corpus.store_files.database, corpus.store_files.clock, caller),
        vector_stores=_VectorStores(stores.database, stores.clock, caller),
        # A response may quote any vector store: it is kept apart from those of keys with other rights.
        responses=_kept_apart(corpus.responses, caller),
        conversations=_kept_apart(corpus.conversations, caller),
    )


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
        return super().get(tenant, vector_store_id, file_id)

    def chunks(self, tenant: str, vector_store_id: str, file_id: str) -> tuple[StoredChunk, ...]:
        self._check(tenant, vector_store_id, file_id)
        return super().chunks(tenant, vector_store_id, file_id)

    def _check(self, tenant: str, vector_store_id: str, file_id: str) -> None:
        if vector_store_id not in _stores_with(self, self.caller, tenant, file_id):
            raise NotFoundError("file", file_id)


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

    def _check(self, tenant: str, file_id: str, vector_store_id: str | None = None) -> None:
        stores = _stores_with(self.store_files, self.caller, tenant, file_id)
        if not stores or (vector_store_id is not None and vector_store_id not in stores):
            raise NotFoundError("file", file_id)


def _stores_with(store_files: StoreFiles, caller: Caller, tenant: str, file_id: str) -> set[str]:
    """The vector stores in which the caller may read the file."""
    where = None if caller.readers is None else readable_filter(caller.readers)
    return {
        store
        for store, attributes in store_files.attributes_of(tenant, file_id).items()
        if (caller.vector_stores is None or store in caller.vector_stores)
        and (where is None or matches(where, attributes))
    }


def _kept_apart(store: S, caller: Caller) -> S:
    """A store whose every method takes the tenant first, with a part of the tenant for these rights alone.

    For a caller with readers, it is the caller's own: groups may change, and who talked stays the same.
    """
    rights = "\n".join(sorted(caller.vector_stores or ()))
    if caller.readers is not None:
        rights += f"\n\n{caller.actor}"
    partition = f"{caller.tenant}/{hashlib.sha256(rights.encode()).hexdigest()[:32]}"  # a tenant has no slash
    return cast(S, _Apart(store, caller.tenant, partition))


class _Apart:
    def __init__(self, store: object, tenant: str, partition: str) -> None:
        self._store, self._tenant, self._partition = store, tenant, partition

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        return self._in_partition(value) if callable(value) and name != "clock" else value

    def _in_partition(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(tenant: str, *arguments: Any, **named: Any) -> Any:
            assert tenant == self._tenant, "a caller reaches its own tenant alone"
            return method(self._partition, *arguments, **named)

        return call
