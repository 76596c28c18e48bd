"""Milvus as an index: Milvus Lite and a server return what the exact index does, and only to the own tenant."""

import logging
import socket

import numpy as np
import pytest

from models.breaker import BreakerConfig
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError, InvalidRequestError
from models.errors.storage import VectorDatabaseUnavailableError
from models.filters import Attributes, Comparison, Compound, Filter, matches
from models.index.milvus_collection import Milvus, Server
from models.index.milvus_config import MilvusConfig
from models.index.milvus_index import BATCH_SIZE, MilvusDenseIndex, MilvusLexicalIndex
from models.types.arrays import FloatArray
from serve.cli.driver.milvus_server import lite_uri, make_dense, make_lexical, new_prefix, server

AXES = np.eye(3, dtype=np.float32)
ATTRIBUTES: list[Attributes] = [
    {},
    {"place": "north", "year": 1999.0},
    {"place": "north", "year": 2001},
    {"place": "north\"s \\ 'end'", "draft": True},
    {"place": "nörth 日本", "draft": False, "year": -3.5},
    {"place": 1, "draft": 1, "year": "1999"},
    {"place": "", 'quoted "key\\': "x", "year": 0},
]
VALUES = [
    *("north", "north\"s \\ 'end'", "nörth 日本", "", "1999", '") or (tenant != "'),
    *(1, 1.0, 0, -3.5, 1999, 2001.0, True, False),
]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) for name in ("lite", "server")])
def uri(request: pytest.FixtureRequest) -> str:
    return lite_uri() if request.param == "lite" else server().uri


@pytest.fixture
def index(uri: str) -> MilvusDenseIndex:
    return make_dense(uri, 3)


@pytest.fixture
def words() -> MilvusLexicalIndex:
    return make_lexical(lite_uri())


def keys(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def unit_vectors(num: int, dim: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((num, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def find_keys(index: MilvusDenseIndex, where: Filter | None = None, k: int = 50) -> list[int]:
    return sorted(index.search(AXES[:1], k, where)[0].keys.tolist())


def test_search_returns_the_nearest_first_with_its_inner_product(index: MilvusDenseIndex) -> None:
    index.add(keys(10, 20, 30), keys(1, 1, 2), AXES)

    first, second = index.search(np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], np.float32), k=2)

    assert first.keys.tolist() == [20, 10]
    assert first.scores.tolist() == pytest.approx([0.8, 0.6])
    assert second.keys[0] == 30
    assert (first.keys.dtype, first.scores.dtype) == (np.int64, np.float32)


def test_what_is_written_is_read_at_once_and_what_is_removed_never(index: MilvusDenseIndex) -> None:
    for turn in range(5):
        index.add(keys(turn), keys(1), AXES[:1])
        assert turn in find_keys(index)
        index.remove(keys(turn, 999))
        assert find_keys(index) == []
    assert len(index) == 0


def test_applying_a_page_twice_stores_it_once(index: MilvusDenseIndex) -> None:
    for _ in range(2):
        index.add(keys(2**63 - 1, -(2**63)), keys(1, 2), AXES[:2])

    assert find_keys(index) == [-(2**63), 2**63 - 1]
    assert len(index) == 2


@pytest.mark.parametrize("op", ["eq", "ne", "gt", "gte", "lt", "lte"])
def test_a_comparison_returns_matching_chunks(index: MilvusDenseIndex, op: str) -> None:
    fill(index)

    for value in VALUES:
        for key in ("place", "year", "draft", 'quoted "key\\', "absent"):
            assert_let_through(index, Comparison(op, key, value))  # type: ignore[arg-type]


def test_lists_and_compounds_return_matching_chunks(index: MilvusDenseIndex) -> None:
    fill(index)
    of_list = [
        Comparison(op, key, values)
        for op in ("in", "nin")
        for key in ("place", "year", "absent")
        for values in (("north", 1), (1999, "1999"), (True,), ())
    ]

    for where in of_list:
        assert_let_through(index, where)  # type: ignore[arg-type]
    for op in ("and", "or"):
        inner = Compound("or", (Comparison("lt", "year", 2000), Comparison("eq", "draft", True)))
        assert_let_through(index, Compound(op, (Comparison("ne", "place", "north"), inner)))  # type: ignore[arg-type]


def fill(index: MilvusDenseIndex) -> None:
    numbers = np.arange(len(ATTRIBUTES))
    index.set_attributes(dict(enumerate(ATTRIBUTES)))
    index.add(numbers, numbers, np.tile(AXES[:1], (len(numbers), 1)))


def assert_let_through(index: MilvusDenseIndex, where: Filter) -> None:
    assert find_keys(index, where) == [n for n, attributes in enumerate(ATTRIBUTES) if matches(where, attributes)], (
        where
    )


def test_attributes_may_come_before_or_after_chunks_and_change(index: MilvusDenseIndex) -> None:
    north, south = Comparison("eq", "place", "north"), Comparison("eq", "place", "south")
    index.set_attributes({1: {"place": "north"}})
    index.add(keys(10, 20), keys(1, 2), AXES[:2])
    assert find_keys(index, north) == [10]

    index.set_attributes({1: {"place": "south"}, 2: {"place": "north"}})

    assert find_keys(index, north) == [20]
    assert find_keys(index, south) == [10]
    (ranking,) = index.search(AXES[:1], 2)
    assert ranking.scores.tolist() == [1.0, 0.0]  # the vectors did not change


def test_attributes_of_more_chunks_than_a_batch_are_all_rewritten(index: MilvusDenseIndex) -> None:
    num = 2 * BATCH_SIZE + 1
    index.add(np.arange(num), np.ones(num, np.int64), unit_vectors(num, 3, seed=1))

    index.set_attributes({1: {"place": "north"}})

    assert find_keys(index, Comparison("eq", "place", "north"), k=num) == list(range(num))
    assert len(index) == num


@pytest.mark.slow
def test_recall_against_exact_search(uri: str) -> None:
    vectors, queries = unit_vectors(3_000, 16, seed=1), unit_vectors(20, 16, seed=2)
    index = make_dense(uri, 16)
    index.add(np.arange(3_000), np.arange(3_000) % 7, vectors)

    rankings = index.search(queries, 10)

    best = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    hits = [len(set(ranking.keys.tolist()) & set(row.tolist())) for ranking, row in zip(rankings, best, strict=True)]
    assert sum(hits) >= 0.95 * 200


def test_a_tenant_that_guesses_ids_finds_and_removes_nothing(index: MilvusDenseIndex) -> None:
    index.add(keys(10, 20), keys(1, 2), AXES[:2])
    store = "vs_contract"
    other_indexes = [
        MilvusDenseIndex(index.rows.collection, tenant, store_id, 3)
        for tenant, store_id in (("other", store), ('" or tenant != "', store), ("", '" or store != "'), ("%", "%"))
    ]

    for other in other_indexes:
        other.remove(keys(10, 20))
        other.set_attributes({1: {"place": "stolen"}})
        other.rows.clear()
        assert find_keys(other, Comparison("ne", "place", "x")) == []
        assert len(other) == 0

    assert find_keys(index, Comparison("ne", "place", "stolen")) == [10, 20]


def test_vectors_and_limits_that_do_not_fit_are_refused(index: MilvusDenseIndex) -> None:
    with pytest.raises(ConflictError):
        index.add(keys(1), keys(1), np.eye(4, dtype=np.float32)[:1])
    with pytest.raises(InvalidRequestError, match="k is 16385"):
        index.search(AXES, 16_385)
    assert index.search(AXES[:0], 3) == []


def test_words_are_found_in_other_forms_and_stop_words_do_not_count(words: MilvusLexicalIndex) -> None:
    words.set_attributes({2: {"place": "north"}})
    words.add(keys(11, 22, 33), keys(1, 2, 3), ["The ferry to the island", "Café prices rise", "An island museum"])

    ranking = words.search("what is the ISLANDS museum", 5).ranking

    assert ranking.keys.tolist() == [33, 11]
    assert ranking.scores[0] > ranking.scores[1] > 0
    assert words.search("cafe", 5, Comparison("eq", "place", "north")).ranking.keys.tolist() == [22]
    assert len(words.search("cafe", 5, Comparison("ne", "place", "north")).ranking) == 0
    assert words.search("to the", 5).ranking.keys.tolist() == [11]
    assert len(words.search("?! zeppelin", 5).ranking) == len(words.search("?!", 5).ranking) == 0


def test_words_keep_their_text_when_attributes_change_and_go_when_removed(words: MilvusLexicalIndex) -> None:
    words.add(keys(11, 22), keys(1, 2), ["island", "island " * 20_000])

    words.set_attributes({1: {"place": "north"}, 2: {"place": "north"}})
    assert set(words.search("island", 5, Comparison("eq", "place", "north")).ranking.keys.tolist()) == {11, 22}

    words.remove(keys(11))
    assert words.search("island", 5).ranking.keys.tolist() == [22]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("milvus_lite-3.2.2", (True, (3, 2), True, True)),
        ("v2.3.5-lite", (False, (2, 3), False, False)),
        ("2.4.9", (False, (2, 4), False, True)),
        ("v2.6.0-rc1", (False, (2, 6), True, True)),
        ("unknown", (False, (0, 0), False, False)),
    ],
)
def test_features_of_a_server_follow_from_its_version(text: str, expected: tuple[object, ...]) -> None:
    server = Server.parse(text)

    assert (server.is_lite, server.version, server.has_bm25, server.has_partition_keys) == expected


@pytest.mark.slow
def test_a_server_without_bm25_says_so() -> None:
    milvus = Milvus(MilvusConfig(uri=server().uri, prefix=new_prefix()))

    with pytest.raises(ConfigError, match="use Tantivy"):
        milvus.make_lexical()
    milvus.close()


def test_a_server_that_does_not_answer_is_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    milvus = Milvus(MilvusConfig(uri="http://127.0.0.1:9", timeout_s=0.2))

    with caplog.at_level(logging.CRITICAL), pytest.raises(VectorDatabaseUnavailableError):
        milvus.find_dense("tiny@1")


def test_a_server_that_hangs_costs_one_call_its_time_and_the_next_ones_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes: list[bool] = []
    with caplog.at_level(logging.CRITICAL), socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        never = BreakerConfig(failures=1, open_s=3600)
        milvus = Milvus(MilvusConfig(uri=uri, timeout_s=0.6, breaker=never), changes.append)
        with pytest.raises(VectorDatabaseUnavailableError):
            milvus.find_dense("tiny@1")
        client = milvus._client
        for _ in range(100):
            with pytest.raises(VectorDatabaseUnavailableError), milvus.calling():
                raise AssertionError("the call was sent")

    assert (milvus.breaker.state, changes, client) == ("open", [True], None)
