"""One vector store's chunks in Milvus, as a dense or a keyword index. The objects hold no chunk themselves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from models.errors import InvalidRequestError
from models.filters import Attributes, Filter
from models.index.base import check_vectors
from models.index.milvus_collection import MAX_TEXT_BYTES, Collection, Row
from models.index.milvus_filter import encode_attributes, encode_text, to_expression
from models.index.milvus_words import to_query_terms, to_terms
from models.types import FloatArray, KeyArray, LexicalRanking, Ranking

MAX_K = 16_384  # Milvus' own limit
BATCH_SIZE = 500  # rows: 8 MB of 4,096 dimensions, where a message may have 64


class StoreRows:
    """The rows of one vector store. Every search, query and delete names its tenant and its store.

    A row is written again as often as one likes. A search that must see every write before it asks Milvus once for
    the time, and from then on for no more than what was there by then: Milvus' own Strong waits for its next tick,
    up to 0.2 s, each time.
    """

    def __init__(self, collection: Collection, tenant: str, vector_store_id: str, value_field: str) -> None:
        """`value_field` is what rows have beside keys and attributes: a vector or a text."""
        self.collection = collection
        self._ids = {"tenant": encode_text(tenant), "store": encode_text(vector_store_id)}
        self._value_field = value_field
        self._attributes: dict[int, Attributes] = {}
        self._seen_by: int | None = None

    def put(self, keys: KeyArray, file_keys: KeyArray, values: Sequence[Any]) -> None:
        """Writes a row a key, in place of one that has it, with the file's attributes as far as they were named."""
        rows = [
            self._row(key, file_key, value)
            for key, file_key, value in zip(keys.tolist(), file_keys.tolist(), values, strict=True)
        ]
        self._write(rows)

    def remove(self, keys: KeyArray) -> None:
        self._seen_by = None
        for batch in _batches(keys.tolist()):
            self.collection.delete(self._where(f"key in {batch}"))

    def clear(self) -> None:
        """Deletes everything of the store."""
        self._seen_by = None
        self.collection.delete(self._where())

    def name_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Says what rows that are put from now on have, and leaves alone those that are there."""
        self._attributes |= attributes

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Also rewrites the rows that have others, with the vectors or texts that Milvus gives back."""
        self.name_attributes(attributes)
        for batch in _batches(list(attributes)):
            for rows in self._pages(f"file_key in {batch}"):
                stale = [row for row in rows if row["attributes"] != self._encoded(row["file_key"])]
                self._write([self._row(row["key"], row["file_key"], row[self._value_field]) for row in stale])

    def search(self, field: str, data: Any, k: int, where: Filter | None) -> list[list[Any]]:
        if not 1 <= k <= MAX_K:
            raise InvalidRequestError(f"k is {k}; Milvus finds 1 to {MAX_K}", "k")
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
        self._seen_by = None
        for batch in _batches(rows):
            self.collection.upsert(batch)

    def _row(self, key: int, file_key: int, value: Any) -> Row:
        fixed = {"key": key, "file_key": file_key, "attributes": self._encoded(file_key)}
        return self._ids | fixed | {self._value_field: value}

    def _encoded(self, file_key: int) -> dict[str, str]:
        return encode_attributes(self._attributes.get(file_key, {}))

    def _where(self, condition: str | None = None) -> str:
        mine = f'tenant == "{self._ids["tenant"]}" and store == "{self._ids["store"]}"'
        return f"{mine} and {condition}" if condition else mine

    def _guarantee(self) -> Row:
        """What a read must see: with Strong, every write before it or before this object was made."""
        level = self.collection.config.consistency
        if level != "Strong":
            return {"consistency_level": level}
        if self._seen_by is None:
            self._seen_by = self.collection.now()
        return {"consistency_level": "Customized", "guarantee_timestamp": self._seen_by}


class MilvusDenseIndex:
    """A DenseIndex; with FLAT an exact one."""

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
        """Raises InvalidRequestError for a `k` past 16,384."""
        check_vectors(self.dim, vectors)
        if not len(vectors):
            return []
        found = self.rows.search("vector", np.ascontiguousarray(vectors, np.float32), k, where)
        return [_to_ranking(hits) for hits in found]

    def __len__(self) -> int:
        return len(self.rows)


class MilvusLexicalIndex:
    """A LexicalIndex on a Milvus that has BM25.

    Its `term_weights` are empty: Milvus does not tell how many chunks have a word. What it counts for its own scores
    are the chunks of every store in the collection.
    """

    def __init__(self, collection: Collection, tenant: str, vector_store_id: str) -> None:
        self.rows = StoreRows(collection, tenant, vector_store_id, "text")

    def add(self, keys: KeyArray, file_keys: KeyArray, texts: list[str]) -> None:
        self.rows.put(keys, file_keys, [_fitting(to_terms(text)) for text in texts])

    def remove(self, keys: KeyArray) -> None:
        self.rows.remove(keys)

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        self.rows.set_attributes(attributes)

    def search(self, query: str, k: int, where: Filter | None = None) -> LexicalRanking:
        """Raises InvalidRequestError for a `k` past 16,384."""
        terms = to_query_terms(query)
        if not terms:
            return LexicalRanking(Ranking.empty(), {})
        (hits,) = self.rows.search("words", [_fitting(terms)], k, where)
        ranking = _to_ranking(hits)
        # Milvus Lite gives the scores with a minus.
        return LexicalRanking(Ranking(ranking.keys, np.abs(ranking.scores)), {})

    def __len__(self) -> int:
        return len(self.rows)


def _to_ranking(hits: Sequence[Any]) -> Ranking:
    keys, scores = [hit.id for hit in hits], [hit["distance"] for hit in hits]
    return Ranking(np.array(keys, np.int64), np.array(scores, np.float32))


def _fitting(terms: str) -> str:
    """As many of the words as Milvus takes in one text."""
    encoded = terms.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return terms
    return encoded[: MAX_TEXT_BYTES + 1].rpartition(b" ")[0].decode()


def _batches(items: Sequence[Any]) -> Iterable[list[Any]]:
    return (list(items[start : start + BATCH_SIZE]) for start in range(0, len(items), BATCH_SIZE))
