"""What the files of vector stores can be told apart by: the values of their attributes, and their names."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, select

from models.corpus.database import Database
from models.corpus.derived import effective_attributes
from models.corpus.schema import files, store_files
from models.filters import AttributeValue
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
    """Distinct values of each attribute, and distinct file names."""

    values: Mapping[str, frozenset[AttributeValue]]
    filenames: frozenset[str]


def read_facets(database: Database, scope: Scope) -> Facets:
    """Of the files that a search of the scope can find. Blocks."""
    parameters = {"tenant": scope.tenant, "vector_store_ids": scope.vector_store_ids}
    values, filenames = defaultdict[str, set[AttributeValue]](set), set[str]()
    with database.reading() as connection:
        for row in connection.execute(_FILES, parameters):
            filenames.add(row.filename)
            for key, value in effective_attributes(row).items():
                values[key].add(value)
    return Facets({key: frozenset(each) for key, each in values.items()}, frozenset(filenames))
