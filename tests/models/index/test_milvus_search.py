"""Milvus up to date with the log: many replicas share it, and one may die at any point of a write."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.corpus.corpus import Corpus
from models.corpus.positions import Positions, ViewKey
from models.corpus.records import Head
from models.errors.limits import OverloadedError
from models.errors.requests import NotFoundError
from models.errors.stages import StageUnavailableError
from models.filters import Comparison, Filter
from models.index.follow import DenseRequest, LexicalRequest
from models.index.milvus_config import MilvusConfig
from models.index.milvus_index import MilvusDenseIndex
from models.index.milvus_search import MilvusDenseSearch, MilvusLexicalSearch
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope
from serve.cli.driver.milvus_server import lite_uri, new_prefix, server
from tests.patience import PATIENCE_S

TENANT, STORE = DEFAULT_TENANT, DEFAULT_VECTOR_STORE
SCOPE = Scope(TENANT, (STORE,))
GENERATION, DIM = "tiny@1", 8


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    corpus = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", tmp_path / "files")
    yield corpus
    corpus.close()


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) for name in ("lite", "server")])
def config(request: pytest.FixtureRequest) -> MilvusConfig:
    return config_of(lite_uri() if request.param == "lite" else server().uri)


@pytest.fixture
def search(corpus: Corpus, config: MilvusConfig) -> Iterator[MilvusDenseSearch]:
    search = dense_of(corpus, config)
    yield search
    search.close()


def config_of(uri: str, **options: Any) -> MilvusConfig:
    patient = {"timeout_s": PATIENCE_S, "catch_up_timeout_s": PATIENCE_S}
    return MilvusConfig(uri=uri, prefix=new_prefix(), num_partitions=4, **patient | options)


def dense_of(corpus: Corpus, config: MilvusConfig) -> MilvusDenseSearch:
    return MilvusDenseSearch(corpus.views, positions_of(corpus), config)


def positions_of(corpus: Corpus) -> Positions:
    return Positions(corpus.database, time.time)


def key_of(config: MilvusConfig, store: str = STORE) -> ViewKey:
    return ViewKey(f"{config.prefix} vectors", TENANT, store, GENERATION)


def add(corpus: Corpus, word: str, tenant: str = TENANT, store: str = STORE, **attributes: str) -> str:
    """Add a file of one chunk, `word`, with its vector."""
    file_id = corpus.files.add(tenant, f"{word}.md", word.encode()).file_id
    corpus.store_files.attach(tenant, store, file_id, attributes=attributes or None)
    (job,) = corpus.jobs.claim("test", 1, 60)
    corpus.jobs.complete(job, word, [Chunk(word, 0, len(word), "", 1)], {GENERATION: vector_of(word)[None]})
    return file_id


def vector_of(word: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    vector = np.random.default_rng(list(word.encode())).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def ask(search: MilvusDenseSearch, word: str, where: Filter | None = None, scope: Scope = SCOPE) -> list[int]:
    return search.search([DenseRequest(vector_of(word), GENERATION, scope, 10, where)])[0].keys.tolist()


def words_of(corpus: Corpus, keys: list[int], scope: Scope = SCOPE) -> list[str]:
    """Return the text of every key, "gone" for a deleted chunk."""
    passages = corpus.views.passages(keys, scope)
    return [passages[key].text if key in passages else "gone" for key in keys]


def test_what_was_completed_is_found_and_what_was_deleted_is_not(corpus: Corpus, search: MilvusDenseSearch) -> None:
    assert ask(search, "walrus") == []
    walrus = add(corpus, "walrus")
    add(corpus, "penguin")
    assert words_of(corpus, ask(search, "walrus")) == ["walrus", "penguin"]

    corpus.files.delete(TENANT, walrus)

    assert words_of(corpus, ask(search, "walrus")) == ["penguin"]


def test_filters_use_attributes_set_before_and_after_the_chunks(corpus: Corpus, search: MilvusDenseSearch) -> None:
    file_id = corpus.files.add(TENANT, "walrus.md", b"walrus").file_id
    corpus.store_files.attach(TENANT, STORE, file_id, attributes={"place": "north"})
    assert ask(search, "walrus") == []
    (job,) = corpus.jobs.claim("test", 1, 60)
    corpus.jobs.complete(job, "walrus", [Chunk("walrus", 0, 6, "", 1)], {GENERATION: vector_of("walrus")[None]})
    north, south = Comparison("eq", "place", "north"), Comparison("eq", "place", "south")
    assert len(ask(search, "walrus", north)) == 1

    corpus.store_files.set_attributes(TENANT, STORE, file_id, {"place": "south"})

    assert ask(search, "walrus", north) == []
    assert len(ask(search, "walrus", south)) == 1


def test_another_tenant_sees_nothing_of_a_store_with_the_same_name(corpus: Corpus, search: MilvusDenseSearch) -> None:
    add(corpus, "walrus")
    add(corpus, "penguin", tenant="other")

    assert words_of(corpus, ask(search, "penguin")) == ["walrus"]
    theirs = Scope("other", (STORE,))
    assert words_of(corpus, ask(search, "walrus", scope=theirs), theirs) == ["penguin"]
    with pytest.raises(NotFoundError):
        ask(search, "walrus", scope=Scope("other", ("vs_guessed",)))


class KilledError(BaseException):
    """Simulates the death of the process: nothing catches it."""


class DyingPositions(Positions):
    """Dies before it moves the position, and releases no lease, as a killed process would."""

    def advance(self, *args: Any) -> bool:
        raise KilledError

    def release(self, *args: Any) -> None:
        pass


def test_a_death_between_both_writes_is_repaired(corpus: Corpus, config: MilvusConfig) -> None:
    config = config.model_copy(update={"lease_s": 0.3})
    dying = MilvusDenseSearch(corpus.views, DyingPositions(corpus.database, time.time), config)
    successor = dense_of(corpus, config)
    add(corpus, "penguin")
    ask(successor, "penguin")
    walrus = add(corpus, "walrus", place="north")
    with pytest.raises(KilledError):
        ask(dying, "walrus")
    corpus.files.delete(TENANT, walrus)  # added and removed since the position: no view knows it, but Milvus has it

    assert words_of(corpus, ask(successor, "walrus")) == ["penguin"]
    assert positions_of(corpus).get([key_of(config)])[key_of(config)].seq == head(corpus).seq
    dying.close()
    successor.close()


def test_a_death_in_the_first_page_is_repaired(corpus: Corpus, config: MilvusConfig) -> None:
    config = config.model_copy(update={"lease_s": 0.3})
    dying = MilvusDenseSearch(corpus.views, DyingPositions(corpus.database, time.time), config)
    successor = dense_of(corpus, config)
    walrus = add(corpus, "walrus")
    with pytest.raises(KilledError):
        ask(dying, "walrus")
    corpus.files.delete(TENANT, walrus)
    add(corpus, "penguin")

    assert words_of(corpus, ask(successor, "walrus")) == ["penguin"]
    dying.close()
    successor.close()


def head(corpus: Corpus) -> Head:
    return corpus.views.heads([(TENANT, STORE)])[TENANT, STORE]


def test_a_replica_that_wrote_after_its_lease_has_its_changes_applied_again(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(lite_uri(), lease_s=0.2)
    slow, quick = dense_of(corpus, config), dense_of(corpus, config)
    add(corpus, "penguin")
    ask(quick, "penguin")
    walrus = add(corpus, "walrus")
    reading, may_write = threading.Event(), threading.Event()
    write, slow_thread = MilvusDenseIndex.add, []

    def add_late(self: MilvusDenseIndex, *args: Any) -> None:
        if threading.current_thread() in slow_thread and not reading.is_set():
            reading.set()
            assert may_write.wait(PATIENCE_S)
        write(self, *args)

    monkeypatch.setattr(MilvusDenseIndex, "add", add_late)
    with ThreadPoolExecutor(1, initializer=lambda: slow_thread.append(threading.current_thread())) as pool:
        late = pool.submit(ask, slow, "walrus")
        assert reading.wait(PATIENCE_S)
        corpus.files.delete(TENANT, walrus)
        assert words_of(corpus, ask(quick, "walrus")) == ["penguin"]
        may_write.set()

        assert words_of(corpus, late.result(PATIENCE_S)) == ["penguin"]
    assert words_of(corpus, ask(quick, "walrus")) == ["penguin"]
    slow.close()
    quick.close()


def test_two_replicas_at_once_are_both_up_to_date(corpus: Corpus, config: MilvusConfig) -> None:
    replicas = [dense_of(corpus, config) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for number in range(4):
            add(corpus, f"animal {number}")
            answers = list(pool.map(lambda replica: ask(replica, "animal 0"), replicas))
            assert [len(set(answer)) for answer in answers] == [number + 1] * 2
            assert [len(answer) for answer in answers] == [number + 1] * 2
    for replica in replicas:
        replica.close()


def test_a_store_leased_by_another_replica_is_overloaded(corpus: Corpus) -> None:
    config = config_of(lite_uri(), catch_up_timeout_s=0.2)
    search, positions = dense_of(corpus, config), positions_of(corpus)
    add(corpus, "walrus")
    assert positions.claim(key_of(config), "another", 60)

    with pytest.raises(OverloadedError):
        ask(search, "walrus")
    assert not search.maintain()

    positions.release(key_of(config), "another")
    patient = dense_of(corpus, config.model_copy(update={"catch_up_timeout_s": PATIENCE_S}))
    assert len(ask(patient, "walrus")) == 1
    patient.close()
    search.close()


def test_a_log_with_another_name_starts_again(corpus: Corpus, search: MilvusDenseSearch, config: MilvusConfig) -> None:
    add(corpus, "walrus")
    ask(search, "walrus")
    corpus.vector_stores.delete(TENANT, STORE)
    add(corpus, "penguin")
    add(corpus, "ferret")

    assert sorted(words_of(corpus, ask(search, "walrus"))) == ["ferret", "penguin"]


def test_a_deleted_store_is_swept_out_of_milvus(corpus: Corpus) -> None:
    config = config_of(lite_uri())
    search, positions = dense_of(corpus, config), positions_of(corpus)
    store = corpus.vector_stores.create(TENANT, "short-lived").vector_store_id
    add(corpus, "walrus", store=store)
    add(corpus, "penguin")
    ask(search, "walrus", scope=Scope(TENANT, (STORE, store)))
    index = search._find(key_of(config, store))
    assert index is not None
    assert (len(index), search.sweep()) == (1, 0)

    corpus.vector_stores.delete(TENANT, store)
    index = search._find(key_of(config, store))
    assert index is not None

    assert search.sweep() == 1
    assert len(index) == 0
    assert positions.get([key_of(config, store)]) == {}
    assert words_of(corpus, ask(search, "walrus")) == ["penguin"]
    search.close()


def test_maintenance_updates_stores_without_a_search(corpus: Corpus) -> None:
    config = config_of(lite_uri())
    search = dense_of(corpus, config)
    add(corpus, "walrus")

    assert search.maintain()
    assert not search.maintain()

    assert positions_of(corpus).get([key_of(config)]) == {key_of(config): head(corpus)}
    search.close()


def test_a_replica_releases_its_lease_if_milvus_does_not_answer(corpus: Corpus) -> None:
    config = config_of("http://127.0.0.1:9", timeout_s=0.2)
    search = dense_of(corpus, config)
    add(corpus, "walrus")

    with pytest.raises(StageUnavailableError):
        ask(search, "walrus")

    assert positions_of(corpus).claim(key_of(config), "another", 60)


def test_words_follow_the_log(corpus: Corpus) -> None:
    config = config_of(lite_uri())
    search = MilvusLexicalSearch(corpus.views, positions_of(corpus), config)
    assert MilvusLexicalSearch.is_supported(config)
    walrus = add(corpus, "walrus", place="north")
    add(corpus, "walruses swim")
    request = LexicalRequest("walrus", SCOPE, 5)

    (ranking,) = search.search([request])
    assert words_of(corpus, ranking.ranking.keys.tolist()) == ["walrus", "walruses swim"]
    (filtered,) = search.search([LexicalRequest("walrus", SCOPE, 5, Comparison("eq", "place", "north"))])
    assert words_of(corpus, filtered.ranking.keys.tolist()) == ["walrus"]

    corpus.files.delete(TENANT, walrus)
    assert search.maintain()
    (ranking,) = search.search([request])
    assert words_of(corpus, ranking.ranking.keys.tolist()) == ["walruses swim"]
    assert not search.maintain()
    search.close()


@pytest.mark.slow
def test_a_restarted_server_has_all_data(corpus: Corpus) -> None:
    config = config_of(server().uri)
    search = dense_of(corpus, config)
    add(corpus, "walrus", place="north")
    add(corpus, "penguin")
    before = ask(search, "walrus")
    search.close()

    server().stop()
    server().start()

    search = dense_of(corpus, config.model_copy(update={"uri": server().uri}))
    assert ask(search, "walrus") == before
    assert len(ask(search, "walrus", Comparison("eq", "place", "north"))) == 1
    search.close()
