"""What the files of vector stores can be told apart by: the values of their attributes, and their names."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import and_, bindparam, select

from models.corpus.database import Database
from models.corpus.derived import effective_attributes
from models.corpus.schema import files, store_files
from models.filters import Attributes, AttributeValue, Filter, matches
from models.types.scope import Scope

MAX_FILES = 20_000  # of more files, the oldest

_FILES = (
    select(store_files.c.attributes, store_files.c.derived, files.c.filename)
    .join(files, and_(files.c.tenant == store_files.c.tenant, files.c.file_id == store_files.c.file_id))
    .where(
        store_files.c.tenant == bindparam("tenant"),
        store_files.c.vector_store_id.in_(bindparam("vector_store_ids", expanding=True)),
        store_files.c.version > 0,  # it can be searched
    )
    .order_by(store_files.c.store_file_key)
    .limit(MAX_FILES)
)


@dataclass(frozen=True)
class Facets:
    """The name and the attributes of each file."""

    files: tuple[tuple[str, Attributes], ...]

    @cached_property
    def values(self) -> Mapping[str, frozenset[AttributeValue]]:
        """The distinct values of each attribute."""
        values = defaultdict[str, set[AttributeValue]](set)
        for _, attributes in self.files:
            for key, value in attributes.items():
                values[key].add(value)
        return {key: frozenset(each) for key, each in values.items()}

    @cached_property
    def filenames(self) -> frozenset[str]:
        """The distinct names."""
        return frozenset(filename for filename, _ in self.files)

    def of_matching(self, where: Filter) -> "Facets":
        """Those of the files that match."""
        return Facets(tuple(file for file in self.files if matches(where, file[1])))


def read_facets(database: Database, scope: Scope) -> Facets:
    """Of the files that a search of the scope can find. Blocks."""
    parameters = {"tenant": scope.tenant, "vector_store_ids": scope.vector_store_ids}
    with database.reading() as connection:
        rows = connection.execute(_FILES, parameters)
        return Facets(tuple((row.filename, effective_attributes(row)) for row in rows))
