"""Changes to all files of a vector store whose attributes match a filter, as in a search.

A large store is changed in several transactions, so that other writers wait for none of them. A file whose attributes
changed since the call began is left alone if it no longer matches.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from models.corpus.chunking import Chunking
from models.corpus.database import Database
from models.corpus.derived import effective_attributes
from models.corpus.records import AttachmentId
from models.corpus.schema import store_files
from models.corpus.store_files import check_attributes, check_store, detach_file, rechunk, write_attributes
from models.corpus.vector_stores import advance, is_store, lock_unexpired
from models.errors.requests import InvalidRequestError
from models.filters import Attributes, AttributeValue, Filter, check_filter, matches

FILES_PER_CHANGE = 50  # in one transaction, which other writers wait for


class _Unchanged:
    """The type of UNCHANGED."""


UNCHANGED = _Unchanged()


@dataclass(frozen=True)
class FileChanges:
    """New values of files. `attributes` are added to those of a file or replace them by key; None removes a key.

    `chunking` None is auto. A file that gets another chunking is ingested again.
    """

    attributes: dict[str, AttributeValue | None]
    chunking: Chunking | _Unchanged | None = UNCHANGED

    def apply(self, attributes: Attributes) -> dict[str, AttributeValue]:
        """The new attributes of a file. Raises InvalidRequestError for attributes beyond OpenAI's limits."""
        merged = {**attributes, **self.attributes}
        changed = {key: value for key, value in merged.items() if value is not None}
        check_attributes(changed)
        return changed


@dataclass(frozen=True)
class FilteredFiles:
    """Deletes and changes files by a filter. Another tenant's store counts as not found."""

    database: Database
    clock: Callable[[], float]

    def delete(self, tenant: str, vector_store_id: str, where: Filter, dry_run: bool = False) -> int:
        """Remove the files from the store; the uploads stay. Return the number of files, also of a dry run.

        Raises NotFoundError, InvalidRequestError.
        """
        file_ids = self._matching(tenant, vector_store_id, where)
        return (
            len(file_ids)
            if dry_run
            else self._change(tenant, vector_store_id, file_ids, where, self._detach, self.database.deleting)
        )

    def update(
        self, tenant: str, vector_store_id: str, where: Filter, changes: FileChanges, dry_run: bool = False
    ) -> int:
        """Change the files, and return their number, also of a dry run.

        Nothing is changed if one file would get attributes beyond OpenAI's limits. Raises NotFoundError,
        InvalidRequestError, and ConflictError for an expired store.
        """
        if not changes.attributes and isinstance(changes.chunking, _Unchanged):
            raise InvalidRequestError("give `attributes` or a `chunking_strategy` to set", "attributes")
        file_ids = self._matching(tenant, vector_store_id, where, changes)
        if dry_run:
            return len(file_ids)

        def apply(connection: Connection, attachment: AttachmentId, attributes: Attributes) -> None:
            self._update(connection, attachment, changes.apply(attributes), changes)

        return self._change(tenant, vector_store_id, file_ids, where, apply, self.database.writing)

    def _matching(
        self, tenant: str, vector_store_id: str, where: Filter, changes: FileChanges | None = None
    ) -> list[str]:
        """The ids of the matching files, oldest first. With `changes`, also check that each file can take them."""
        check_filter(where)
        with self.database.reading() as connection:
            check_store(connection, tenant, vector_store_id)
            matching = dict(_rows(connection, tenant, vector_store_id, where))
        if changes is not None:
            for attributes in matching.values():
                changes.apply(attributes)
        return list(matching)

    def _change(
        self,
        tenant: str,
        vector_store_id: str,
        file_ids: Sequence[str],
        where: Filter,
        change: Callable[[Connection, AttachmentId, Attributes], None],
        transaction: Callable[[], AbstractContextManager[Connection]],
    ) -> int:
        num_changed = 0
        for start in range(0, len(file_ids), FILES_PER_CHANGE):
            page = file_ids[start : start + FILES_PER_CHANGE]
            with transaction() as connection:
                lock_unexpired(connection, tenant, vector_store_id, int(self.clock()))
                for file_id, attributes in list(_rows(connection, tenant, vector_store_id, where, page)):
                    change(connection, AttachmentId(tenant, vector_store_id, file_id), attributes)
                    num_changed += 1
        return num_changed

    def _detach(self, connection: Connection, attachment: AttachmentId, attributes: Attributes) -> None:
        detach_file(connection, attachment, int(self.clock()))

    def _update(
        self,
        connection: Connection,
        attachment: AttachmentId,
        attributes: dict[str, AttributeValue],
        changes: FileChanges,
    ) -> None:
        now = int(self.clock())
        if changes.attributes:
            seq = advance(connection, attachment.tenant, attachment.vector_store_id, now)
            write_attributes(connection, attachment, attributes, seq)
        if not isinstance(changes.chunking, _Unchanged):
            rechunk(connection, attachment, changes.chunking, now)


def _rows(
    connection: Connection, tenant: str, vector_store_id: str, where: Filter, file_ids: Sequence[str] | None = None
) -> Iterator[tuple[str, Attributes]]:
    """Id and own attributes of each file that matches, oldest first; only of `file_ids` if given."""
    columns = store_files.c
    query: Select[Any] = select(columns.file_id, columns.attributes, columns.derived)
    query = query.where(is_store(store_files, tenant, vector_store_id))
    if file_ids is not None:
        query = query.where(columns.file_id.in_(file_ids))
    for row in connection.execute(query.order_by(columns.store_file_key)):
        if matches(where, effective_attributes(row)):
            yield row.file_id, row.attributes
