"""Dense and keyword search in Milvus, which milvus_follower.py keeps up to date with the log."""

from collections.abc import Mapping

from models.breaker import Breaker, OnChange, ignore_change
from models.corpus.positions import Positions, ViewKey
from models.corpus.records import TextChanges, VectorChanges
from models.corpus.views import Views
from models.index.analysis import VERSION as ANALYSIS_VERSION
from models.index.follow import DenseRequest, LexicalRequest, merge, search_together
from models.index.log_followers import MAX_WARM_STORES
from models.index.milvus_collection import Collection, Milvus
from models.index.milvus_config import MilvusConfig
from models.index.milvus_follower import MilvusFollower, MilvusSource
from models.index.milvus_index import MilvusDenseIndex, MilvusLexicalIndex
from models.types.ranking import LexicalRanking, Ranking

PAGE_SIZE = 1_024  # chunks; a page takes about 0.4 s with 384 dimensions, a small part of the lease


class MilvusDenseSearch:
    """Dense search in all vector stores, with one collection per vector space. Not thread-safe."""

    def __init__(
        self, views: Views, positions: Positions, config: MilvusConfig, on_change: OnChange = ignore_change
    ) -> None:
        self._views, self._milvus = views, Milvus(config, on_change)
        self.dependencies: Mapping[str, Breaker] = {"milvus": self._milvus.breaker}
        self._view = f"{config.prefix} vectors"
        source = MilvusSource[VectorChanges, MilvusDenseIndex](
            stage="dense",
            read=lambda key, seq, started_seq: views.vector_changes(
                key.tenant, key.vector_store_id, seq, key.generation, limit=PAGE_SIZE, started_seq=started_seq
            ),
            find=self._find,
            make=lambda key, changes: _dense(
                self._milvus.make_dense(key.generation, changes.vectors.shape[1]), key, changes.vectors.shape[1]
            ),
            add=lambda index, changes: index.add(changes.added_keys, changes.added_file_keys, changes.vectors),
        )
        self._follower = MilvusFollower(source, views, positions, config)

    def search(self, requests: list[DenseRequest]) -> list[Ranking]:
        """Return one ranking per request. Requests that differ only in their vectors share one search.

        Raises NotFoundError for an unknown store, VectorDatabaseUnavailableError, and OverloadedError if a store is not
        up to date in time.
        """
        return search_together(
            requests,
            lambda request, vector_store_id: ViewKey(
                self._view, request.scope.tenant, vector_store_id, request.generation
            ),
            self._follower.up_to_date,
        )

    num_chunks = None  # they are in Milvus

    def maintain(self) -> bool:
        """Apply a page to a recently changed store, also in the generation it builds, or sweep.

        Return whether there was work.
        """
        active = self._views.recent(MAX_WARM_STORES)
        keys = [
            ViewKey(self._view, store.tenant, store.vector_store_id, generation)
            for store in active
            for generation in store.generations
        ]
        return self._follower.step(keys) or self.sweep() > 0

    def sweep(self) -> int:
        """Clear the rows of deleted stores and retired generations in Milvus. Return how many were cleared."""
        return self._follower.sweep(self._view)

    def close(self) -> None:
        self._milvus.close()

    def _find(self, key: ViewKey) -> MilvusDenseIndex | None:
        collection = self._milvus.find_dense(key.generation)
        return None if collection is None else _dense(collection, key, collection.dim)


class MilvusLexicalSearch:
    """Keyword search in all vector stores, in one collection. Not thread-safe."""

    def __init__(
        self, views: Views, positions: Positions, config: MilvusConfig, on_change: OnChange = ignore_change
    ) -> None:
        self._views, self._milvus = views, Milvus(config, on_change)
        self.dependencies: Mapping[str, Breaker] = {"milvus": self._milvus.breaker}
        self._view = f"{config.prefix} words {ANALYSIS_VERSION}"
        source = MilvusSource[TextChanges, MilvusLexicalIndex](
            stage="lexical",
            read=lambda key, seq, started_seq: views.text_changes(
                key.tenant, key.vector_store_id, seq, limit=PAGE_SIZE, started_seq=started_seq
            ),
            find=self._find,
            make=lambda key, _: _lexical(self._milvus.make_lexical(), key),
            add=lambda index, changes: index.add(changes.added_keys, changes.added_file_keys, list(changes.texts)),
        )
        self._follower = MilvusFollower(source, views, positions, config)

    @staticmethod
    def is_supported(config: MilvusConfig) -> bool:
        """Whether this Milvus has BM25; if not, use Tantivy. Raises VectorDatabaseUnavailableError."""
        milvus = Milvus(config)
        try:
            return milvus.server.has_bm25
        finally:
            milvus.close()

    def search(self, requests: list[LexicalRequest]) -> list[LexicalRanking]:
        """Return one ranking per request, without word weights. Raises what MilvusDenseSearch.search raises."""
        indexes = self._follower.up_to_date({key for request in requests for key in self._keys(request)})
        return [self._rank(request, indexes) for request in requests]

    num_chunks = None  # they are in Milvus

    def maintain(self) -> bool:
        """Apply a page to a recently changed store, or sweep. Return whether there was work."""
        active = self._views.recent(MAX_WARM_STORES)
        keys = [ViewKey(self._view, store.tenant, store.vector_store_id, "") for store in active]
        return self._follower.step(keys) or self.sweep() > 0

    def sweep(self) -> int:
        """Clear the rows of deleted stores in Milvus. Return how many stores were cleared."""
        return self._follower.sweep(self._view)

    def close(self) -> None:
        self._milvus.close()

    def _rank(self, request: LexicalRequest, indexes: dict[ViewKey, MilvusLexicalIndex | None]) -> LexicalRanking:
        searched = [index for key in self._keys(request) if (index := indexes[key]) is not None]
        rankings = [index.search(request.query, request.k, request.where).ranking for index in searched]
        return LexicalRanking(merge(rankings, request.k), {})

    def _keys(self, request: LexicalRequest) -> list[ViewKey]:
        return [ViewKey(self._view, request.scope.tenant, name, "") for name in request.scope.vector_store_ids]

    def _find(self, key: ViewKey) -> MilvusLexicalIndex | None:
        collection = self._milvus.find_lexical()
        return None if collection is None else _lexical(collection, key)


def _dense(collection: Collection, key: ViewKey, dim: int) -> MilvusDenseIndex:
    return MilvusDenseIndex(collection, key.tenant, key.vector_store_id, dim)


def _lexical(collection: Collection, key: ViewKey) -> MilvusLexicalIndex:
    return MilvusLexicalIndex(collection, key.tenant, key.vector_store_id)
