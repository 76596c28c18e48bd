"""One vector store's chunks in Milvus, as a dense or a keyword index. All data is in Milvus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from models.errors.requests import InvalidRequestError
from models.filters import Attributes, Filter
from models.index.base import check_vectors
from models.index.milvus_collection import MAX_TEXT_BYTES, Collection, Row
from models.index.milvus_filter import encode_attributes, encode_text, to_expression
from models.index.milvus_words import to_query_terms, to_terms
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import LexicalRanking, Ranking

MAX_K = 16_384  # Milvus' own limit
BATCH_SIZE = 500  # rows: 8 MB with 4,096 dimensions; a message may have 64 MB


class StoreRows:
    """The rows of one vector store. Every search, query and delete filters by its tenant and store.

    A row may be written repeatedly. For Strong consistency, the first read after a write asks Milvus for the time, and
    reads wait until Milvus has applied all writes before that time. Milvus' own Strong waits for its next tick, up to
    0.2 s, at every read.
    """

    def __init__(self, collection: Collection, tenant: str, vector_store_id: str, value_field: str) -> None:
        """`value_field` is the field with the vector or the text."""
        self.collection = collection
        self._ids = {"tenant": encode_text(tenant), "store": encode_text(vector_store_id)}
        self._value_field = value_field
        self._attributes: dict[int, Attributes] = {}
        self._read_timestamp: int | None = None

    def put(self, keys: KeyArray, file_keys: KeyArray, values: Sequence[Any]) -> None:
        """Write one row per key, with the attributes that the file has so far. A row with the same key is replaced."""
        rows = [
            self._row(key, file_key, value)
            for key, file_key, value in zip(keys.tolist(), file_keys.tolist(), values, strict=True)
        ]
        self._write(rows)

    def remove(self, keys: KeyArray) -> None:
        self._read_timestamp = None
        for batch in _batches(keys.tolist()):
            self.collection.delete(self._where(f"key in {batch}"))

    def clear(self) -> None:
        """Delete all rows of the store."""
        self._read_timestamp = None
        self.collection.delete(self._where())

    def remember_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Use these attributes for rows that are written from now on. Existing rows do not change."""
        self._attributes |= attributes

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Use these attributes, and rewrite existing rows with other ones. Milvus returns their vectors or texts."""
        self.remember_attributes(attributes)
        for batch in _batches(list(attributes)):
            for rows in self._pages(f"file_key in {batch}"):
                stale = [row for row in rows if row["attributes"] != self._encoded(row["file_key"])]
                self._write([self._row(row["key"], row["file_key"], row[self._value_field]) for row in stale])

    def search(self, field: str, data: Any, k: int, where: Filter | None) -> list[list[Any]]:
        if not 1 <= k <= MAX_K:
            raise InvalidRequestError(f"k is {k}; Milvus allows 1 to {MAX_K}", "k")
        expression = self._where(to_expression(where) if where is not None else None)
        return self.collection.search(field, data, k, expression, self._guarantee())

    def __len__(self) -> int:
        return int(self.collection.query(self._where(), ["count(*)"], self._guarantee())[0]["count(*)"])

    def _pages(self, condition: str) -> Iterator[list[Row]]:
        fields = ["key", "file_key", "attributes", self._value_field]
        expression = self._where(condition)
        while rows := self.collection.query(expression, fields, self._guarantee(), BATCH_SIZE):
            yield rows
            if len(rows) < BATCH_SIZE:
                return
            expression = self._where(f"{condition} and key > {max(row['key'] for row in rows)}")

    def _write(self, rows: list[Row]) -> None:
        self._read_timestamp = None
        for batch in _batches(rows):
            self.collection.upsert(batch)

    def _row(self, key: int, file_key: int, value: Any) -> Row:
        fixed = {"key": key, "file_key": file_key, "attributes": self._encoded(file_key)}
        return self._ids | fixed | {self._value_field: value}

    def _encoded(self, file_key: int) -> dict[str, str]:
        return encode_attributes(self._attributes.get(file_key, {}))

    def _where(self, condition: str | None = None) -> str:
        in_store = f'tenant == "{self._ids["tenant"]}" and store == "{self._ids["store"]}"'
        return f"{in_store} and {condition}" if condition else in_store

    def _guarantee(self) -> Row:
        """Return the consistency options of a read.

        With Strong, the read sees every write of this object, and all writes before the object's creation.
        """
        level = self.collection.config.consistency
        if level != "Strong":
            return {"consistency_level": level}
        if self._read_timestamp is None:
            self._read_timestamp = self.collection.now()
        return {"consistency_level": "Customized", "guarantee_timestamp": self._read_timestamp}


class MilvusDenseIndex:
    """A DenseIndex, exact with FLAT."""

    def __init__(self, collection: Collection, tenant: str, vector_store_id: str, dim: int) -> None:
        self.dim = dim
        self.rows = StoreRows(collection, tenant, vector_store_id, "vector")

    def add(self, keys: KeyArray, file_keys: KeyArray, vectors: FloatArray) -> None:
        check_vectors(self.dim, vectors, keys, file_keys)
        self.rows.put(keys, file_keys, list(np.ascontiguousarray(vectors, np.float32)))

    def remove(self, keys: KeyArray) -> None:
        self.rows.remove(keys)

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        self.rows.set_attributes(attributes)

    def search(self, vectors: FloatArray, k: int, where: Filter | None = None) -> list[Ranking]:
        """Raises InvalidRequestError for a `k` above 16,384."""
        check_vectors(self.dim, vectors)
        if not len(vectors):
            return []
        results = self.rows.search("vector", np.ascontiguousarray(vectors, np.float32), k, where)
        return [_to_ranking(hits) for hits in results]

    def __len__(self) -> int:
        return len(self.rows)


class MilvusLexicalIndex:
    """A LexicalIndex on a Milvus with BM25.

    `term_weights` are empty, because Milvus does not return document frequencies. Its own scores count the chunks of
    all stores in the collection.
    """

    def __init__(self, collection: Collection, tenant: str, vector_store_id: str) -> None:
        self.rows = StoreRows(collection, tenant, vector_store_id, "text")

    def add(self, keys: KeyArray, file_keys: KeyArray, texts: list[str]) -> None:
        self.rows.put(keys, file_keys, [_truncate(to_terms(text)) for text in texts])

    def remove(self, keys: KeyArray) -> None:
        self.rows.remove(keys)

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        self.rows.set_attributes(attributes)

    def search(self, query: str, k: int, where: Filter | None = None) -> LexicalRanking:
        """Raises InvalidRequestError for a `k` above 16,384."""
        terms = to_query_terms(query)
        if not terms:
            return LexicalRanking(Ranking.empty(), {})
        (hits,) = self.rows.search("words", [_truncate(terms)], k, where)
        ranking = _to_ranking(hits)
        # Milvus Lite returns negative scores.
        return LexicalRanking(Ranking(ranking.keys, np.abs(ranking.scores)), {})

    def __len__(self) -> int:
        return len(self.rows)


def _to_ranking(hits: Sequence[Any]) -> Ranking:
    keys, scores = [hit.id for hit in hits], [hit["distance"] for hit in hits]
    return Ranking(np.array(keys, np.int64), np.array(scores, np.float32))


def _truncate(terms: str) -> str:
    """Cut the words to the length that Milvus allows for one text."""
    encoded = terms.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return terms
    return encoded[: MAX_TEXT_BYTES + 1].rpartition(b" ")[0].decode()


def _batches(items: Sequence[Any]) -> Iterable[list[Any]]:
    return (list(items[start : start + BATCH_SIZE]) for start in range(0, len(items), BATCH_SIZE))
