"""A connection to Milvus and its collections: one per vector space, and one for keyword search."""

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.breaker import Breaker, OnChange, ignore_change
from models.corpus.ids import stable_id
from models.errors.configuration import ConfigError
from models.errors.storage import VectorDatabaseUnavailableError
from models.index.milvus_config import MilvusConfig

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient
    from pymilvus.milvus_client import IndexParams

logger = logging.getLogger(__name__)

SLOW_S = 0.5  # an error that comes sooner costs no search its time
MAX_ID_BYTES = 1_024
MAX_TEXT_BYTES = 65_535  # Milvus' own limit of a VARCHAR
BM25 = {"bm25_k1": 1.2, "bm25_b": 0.75}  # as Tantivy's

Row = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """The features of a server by its version: `milvus_lite-3.2.2`, `v2.3.5-lite` (a real server), `2.6.1`."""

    is_lite: bool
    version: tuple[int, int]

    @staticmethod
    def parse(text: str) -> "Server":
        numbers = re.search(r"(\d+)\.(\d+)", text)
        version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        return Server(text.startswith("milvus_lite"), version)

    @property
    def has_bm25(self) -> bool:
        return self.is_lite or self.version >= (2, 5)

    @property
    def has_partition_keys(self) -> bool:
        """False before 2.4: those servers have partition keys but lose upserted rows (milvus-io/milvus#30607)."""
        return self.is_lite or self.version >= (2, 4)


class Milvus:
    """A connection, opened at its first use, with a breaker: while Milvus hangs, calls fail at once. Thread-safe."""

    def __init__(self, config: MilvusConfig, on_change: OnChange = ignore_change) -> None:
        """`on_change` is told when the breaker opens or closes."""
        self.config = config
        self.breaker = Breaker(config.breaker, on_change=on_change)
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None
        self._server: Server | None = None
        self._ready: dict[str, Collection] = {}

    @property
    def client(self) -> "MilvusClient":
        """The open client. Raises ConfigError for an invalid URI, VectorDatabaseUnavailableError."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    @property
    def server(self) -> Server:
        if self._server is None:
            with self.calling():
                self._server = Server.parse(self.client.get_server_version())
        return self._server

    def find_dense(self, generation: str) -> "Collection | None":
        """Return the vector space's collection, None if there is none yet."""
        return self._find(self._name("dense", generation))

    def make_dense(self, generation: str, dim: int) -> "Collection":
        """Return the vector space's collection, and create it if it is missing."""
        name = self._name("dense", generation)
        return self._find(name) or self._make(name, *self._dense_schema(generation, dim))

    def find_lexical(self) -> "Collection | None":
        return self._find(self._name("words"))

    def make_lexical(self) -> "Collection":
        """Return the keyword collection, and create it if it is missing. Raises ConfigError without BM25."""
        if not self.server.has_bm25:
            raise ConfigError(
                "milvus", "this server has no BM25, which needs Milvus 2.5; use Tantivy for keyword search"
            )
        name = self._name("words")
        return self._find(name) or self._make(name, *self._lexical_schema())

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
            self._ready.clear()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Raises VectorDatabaseUnavailableError, at once while the breaker is open."""
        if self.breaker.is_open:
            self.breaker.try_beside(self._probe)
            raise VectorDatabaseUnavailableError
        start = time.perf_counter()
        try:
            with typed_errors(self.config.uri):
                yield
        except VectorDatabaseUnavailableError:
            if time.perf_counter() - start >= SLOW_S:
                self.breaker.fail()
            raise
        self.breaker.succeed()

    def _probe(self) -> None:
        with typed_errors(self.config.uri):
            self.client.list_collections(timeout=self.config.timeout_s)

    def _connect(self) -> "MilvusClient":
        from pymilvus import MilvusClient
        from pymilvus.exceptions import ConnectionConfigException

        config = self.config
        token = config.token.get_secret_value() if config.token else ""
        database = {} if config.is_lite else {"db_name": config.database}
        try:
            with typed_errors(config.uri):
                return MilvusClient(config.uri, token=token, timeout=config.timeout_s, **database)
        except ConnectionConfigException as error:
            raise ConfigError("milvus.uri", str(error)) from None

    def _name(self, kind: str, *parts: str) -> str:
        return stable_id(f"{self.config.prefix}_{kind}_", *parts) if parts else f"{self.config.prefix}_{kind}"

    def _find(self, name: str) -> "Collection | None":
        if name not in self._ready:
            with self.calling():
                if not self.client.has_collection(name, timeout=self.config.timeout_s):
                    return None
                # The replica that created it may have died before loading it. A second load does nothing.
                self.client.load_collection(name, timeout=self._setup_timeout_s)
                self._ready[name] = Collection(self, name, self._dim(name))
        return self._ready[name]

    def _dim(self, name: str) -> int:
        fields = self.client.describe_collection(name, timeout=self.config.timeout_s)["fields"]
        return next((int(field["params"]["dim"]) for field in fields if "dim" in field["params"]), 0)

    def _make(self, name: str, schema: "CollectionSchema", index: "IndexParams") -> "Collection":
        from pymilvus.exceptions import MilvusException

        partitions = {"num_partitions": self.config.num_partitions} if self.server.has_partition_keys else {}
        timeout_s = self._setup_timeout_s
        with self.calling():
            try:
                self.client.create_collection(
                    name, schema=schema, consistency_level="Strong", timeout=timeout_s, **partitions
                )
            except MilvusException:
                if not self.client.has_collection(name):  # another replica has created it
                    raise
            self.client.create_index(name, index, timeout=timeout_s)
            self.client.load_collection(name, timeout=timeout_s)
            self._ready[name] = Collection(self, name, self._dim(name))
        return self._ready[name]

    @property
    def _setup_timeout_s(self) -> float:
        # Loading a new collection takes a standalone server 3 to 5 s.
        return 6 * self.config.timeout_s

    def _dense_schema(self, generation: str, dim: int) -> "tuple[CollectionSchema, IndexParams]":
        from pymilvus import DataType

        config, schema = self.config, self._schema(f"vectors of {generation}")
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        options = {"M": config.hnsw_m, "efConstruction": config.hnsw_ef_construction}
        index = self.client.prepare_index_params()
        index.add_index(
            "vector", index_type=config.index, metric_type="IP", params=options if config.index == "HNSW" else {}
        )
        return schema, index

    def _lexical_schema(self) -> "tuple[CollectionSchema, IndexParams]":
        from pymilvus import DataType, Function, FunctionType

        schema = self._schema("words")
        # The text is stemmed and has no accents already, so that every kind of Milvus treats it alike.
        analyzer = {"tokenizer": "standard"}
        schema.add_field(
            "text", DataType.VARCHAR, max_length=MAX_TEXT_BYTES, enable_analyzer=True, analyzer_params=analyzer
        )
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            Function("bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["words"])
        )
        index = self.client.prepare_index_params()
        index.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=BM25)
        return schema, index

    def _schema(self, description: str) -> "CollectionSchema":
        from pymilvus import DataType

        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field(
            "tenant",
            DataType.VARCHAR,
            max_length=MAX_ID_BYTES,
            is_partition_key=self.server.has_partition_keys,
        )
        schema.add_field("store", DataType.VARCHAR, max_length=MAX_ID_BYTES)
        schema.add_field("file_key", DataType.INT64)
        schema.add_field("attributes", DataType.JSON)
        return schema


class Collection:
    """A loaded collection. `dim` is the dimension of its vectors, 0 for keyword search.

    Methods raise VectorDatabaseUnavailableError if Milvus does not answer or fails.
    """

    def __init__(self, milvus: Milvus, name: str, dim: int) -> None:
        self.name, self.dim, self.config = name, dim, milvus.config
        self._milvus = milvus
        self._options: dict[str, Any] = {"timeout": milvus.config.timeout_s}

    def upsert(self, rows: Sequence[Row]) -> None:
        with self._milvus.calling():
            self._milvus.client.upsert(self.name, list(rows), **self._options)

    def delete(self, expression: str) -> None:
        with self._milvus.calling():
            self._milvus.client.delete(self.name, filter=expression, **self._options)

    def query(self, expression: str, fields: list[str], guarantee: Row, limit: int | None = None) -> list[Row]:
        """Return matching rows, the first `limit` by key."""
        limited = {} if limit is None else {"limit": limit}
        with self._milvus.calling():
            return list(
                self._milvus.client.query(
                    self.name, filter=expression, output_fields=fields, **limited, **guarantee, **self._options
                )
            )

    def search(self, field: str, data: Any, k: int, expression: str, guarantee: Row) -> list[Any]:
        """Return a list of hits for each item of `data`. A hit has an `id` and a `distance`."""
        params = {"ef": max(self.config.hnsw_ef, k)} if field == "vector" and self.config.index == "HNSW" else {}
        with self._milvus.calling():
            return list(
                self._milvus.client.search(
                    self.name,
                    data=data,
                    anns_field=field,
                    limit=k,
                    filter=expression,
                    search_params={"params": params},
                    **guarantee,
                    **self._options,
                )
            )

    def now(self) -> int:
        """Return Milvus' current time, which later reads can wait for. Milvus Lite has none: 0 means now."""
        if self._milvus.server.is_lite:
            return 0
        with self._milvus.calling():
            # pymilvus has this call, but MilvusClient does not expose it.
            return int(self._milvus.client._get_connection().alloc_timestamp(**self._options))


@contextmanager
def typed_errors(uri: str) -> Iterator[None]:
    """Turn Milvus' errors into VectorDatabaseUnavailableError. Only the log has the message.

    pymilvus passes gRPC's own error on if a server that hangs lets the time of a call run out.
    """
    from grpc import RpcError
    from pymilvus.exceptions import ConnectionConfigException, MilvusException

    try:
        yield
    except ConnectionConfigException:
        raise
    except (MilvusException, RpcError) as error:
        logger.error("Milvus at %s: %s", uri.rpartition("@")[2], error)
        raise VectorDatabaseUnavailableError from error
