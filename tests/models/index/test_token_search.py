"""Scores from stored token vectors: as MaxSim over them, of the chunks that the log has now, and of no others."""

import json
import math
import os
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.corpus.corpus import Corpus
from models.corpus.records import Head, TokenChanges
from models.corpus.views import Shard, Views
from models.errors.requests import InvalidRequestError, NotFoundError
from models.errors.stages import StageUnavailableError
from models.index import log_followers, snapshots
from models.index.token_codec import encode_tokens, max_sim_scores, sentence_scores
from models.index.token_index import TokenIndex
from models.index.token_search import SentenceScoreRequest, TokenScoreRequest, TokenSearch
from models.types.arrays import FloatArray, HalfArray
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope

TENANT, STORE = DEFAULT_TENANT, DEFAULT_VECTOR_STORE
SCOPE = Scope(TENANT, (STORE,))
GENERATION, NEXT_GENERATION, DIM = "tiny@1", "next@1", 32
SPANS = np.array([[0, 3], [3, 6]])  # the sentences of a chunk
MANY = 50  # chunks, enough for a snapshot in these tests


@pytest.fixture(autouse=True)
def _small_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_followers, "SNAPSHOT_MIN_CHANGES", MANY)


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    corpus = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", tmp_path / "files")
    yield corpus
    corpus.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def unit_rows(num_rows: int, seed: Sequence[int]) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((num_rows, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def tokens_of(word: str, generation: str = GENERATION) -> HalfArray:
    return unit_rows(6, list((word + generation).encode())).astype(np.float16)


def code_of(word: str, generation: str = GENERATION) -> bytes:
    return encode_tokens(tokens_of(word, generation), starts=np.arange(6))


def add(
    corpus: Corpus,
    word: str,
    num_chunks: int = 1,
    has_tokens: bool = True,
    store: str = STORE,
    generations: Sequence[str] = (GENERATION,),
) -> str:
    """Add a file whose chunks are all `word`."""
    file_id = corpus.files.add(TENANT, f"{word}.md", word.encode()).file_id
    corpus.store_files.attach(TENANT, store, file_id)
    (job,) = corpus.jobs.claim("test", 1, 60)
    chunks = [Chunk(word, number, number + len(word), "", 1) for number in range(num_chunks)]
    vectors = {generation: unit_rows(num_chunks, [1]) for generation in generations}
    codes = {generation: [code_of(word, generation)] * num_chunks for generation in generations}
    corpus.jobs.complete(job, word, chunks, vectors, codes if has_tokens else {})
    return file_id


def request(keys: Sequence[int], scope: Scope = SCOPE, generation: str = GENERATION) -> TokenScoreRequest:
    query, weights = unit_rows(3, [7]).astype(np.float16), np.array([1.0, 2.0, 0.5], np.float32)
    return TokenScoreRequest(query, weights, np.array(keys, np.int64), generation, scope)


def score(search: TokenSearch, *keys: int) -> list[float]:
    return search.score([request(keys)])[0].tolist()


def expected(*words: str, generation: str = GENERATION) -> list[float]:
    any_request = request([])
    codes = [code_of(word, generation) for word in words]
    return max_sim_scores(any_request.query, any_request.weights, codes).tolist()


def indexes(search: TokenSearch) -> dict[str, TokenIndex | None]:
    return {key[2]: follower.index for key, follower in search._followers._by_key.items()}


def maintain(search: TokenSearch) -> None:
    while search.maintain():
        pass


@dataclass(frozen=True)
class CountingViews(Views):
    """Counts the token vectors read from the log, in pages of `page_limit`."""

    num_read: list[int] = field(default_factory=list)
    looks: list[object] = field(default_factory=list)  # at the heads of logs
    page_limit: int = 512

    def heads(self, stores: Collection[tuple[str, str]]) -> dict[tuple[str, str], Head]:
        self.looks.append(stores)
        return super().heads(stores)

    def token_changes(self, *args: Any, **kwargs: Any) -> TokenChanges:
        changes = super().token_changes(*args, limit=self.page_limit, **kwargs)
        self.num_read.append(len(changes.added_keys))
        return changes


def test_scores_are_those_of_the_stored_vectors_in_the_order_of_the_keys(corpus: Corpus, folder: Path) -> None:
    for word in ("walrus", "penguin", "heron"):
        add(corpus, word)

    scores = score(TokenSearch(corpus.views, folder), 3, 1, 2)

    assert scores == pytest.approx(expected("heron", "walrus", "penguin"), abs=1e-6)


def test_chunks_without_token_vectors_and_unknown_keys_have_no_score(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", has_tokens=False)
    add(corpus, "penguin")
    search = TokenSearch(corpus.views, folder)

    scores = score(search, 1, 2, 99)

    assert [math.isnan(value) for value in scores] == [True, False, True]
    assert score(search) == []


def test_a_new_chunk_has_a_score_at_once_and_a_removed_one_none_after_maintenance(corpus: Corpus, folder: Path) -> None:
    walrus = add(corpus, "walrus")
    search = TokenSearch(corpus.views, folder)
    assert score(search, 1) == pytest.approx(expected("walrus"), abs=1e-6)
    add(corpus, "penguin")
    assert score(search, 2) == pytest.approx(expected("penguin"), abs=1e-6)

    corpus.files.delete(TENANT, walrus)
    maintain(search)

    assert math.isnan(score(search, 1)[0])


def test_a_view_that_has_every_chunk_does_not_look_at_the_log(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus")
    views = CountingViews(corpus.database)
    search = TokenSearch(views, folder)

    first, second = score(search, 1), score(search, 1)

    assert first == second
    assert len(views.looks) == 1


def test_a_long_rebuild_is_left_to_the_maintenance(corpus: Corpus, folder: Path) -> None:
    for number in range(4):
        add(corpus, f"word{number}", num_chunks=2)
    search = TokenSearch(CountingViews(corpus.database, page_limit=2), folder)

    assert np.isnan(score(search, *range(1, 9))).tolist() == [False] * 2 + [True] * 6

    maintain(search)

    assert not np.isnan(score(search, *range(1, 9))).any()


def test_requests_of_several_stores_share_a_call_and_do_not_mix(corpus: Corpus, folder: Path) -> None:
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    add(corpus, "walrus")
    add(corpus, "penguin", store=other)
    scopes = [SCOPE, Scope(TENANT, (other,)), Scope(TENANT, (STORE, other))]

    rows = TokenSearch(corpus.views, folder).score([request([1, 2], scope) for scope in scopes])

    assert np.isnan(rows).tolist() == [[False, True], [True, False], [False, False]]
    assert rows[2].tolist() == pytest.approx(expected("walrus", "penguin"), abs=1e-6)


def test_another_tenant_sees_nothing(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus")

    (scores,) = TokenSearch(corpus.views, folder).score([request([1], Scope("acme", (STORE,)))])

    assert np.isnan(scores).all()


def test_an_unknown_store_is_refused(corpus: Corpus, folder: Path) -> None:
    with pytest.raises(NotFoundError):
        TokenSearch(corpus.views, folder).score([request([1], Scope(TENANT, ("vs_none",)))])


def test_a_query_of_other_dimensions_is_refused(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus")
    search, narrow = TokenSearch(corpus.views, folder), np.ones((1, DIM // 2), np.float16)
    narrow_request = TokenScoreRequest(narrow, np.ones(1, np.float32), np.array([1]), GENERATION, SCOPE)

    with pytest.raises(InvalidRequestError, match="dimensions"):
        search.score([narrow_request])
    with pytest.raises(InvalidRequestError, match="dimensions"):
        search.score_sentences([SentenceScoreRequest(narrow_request, (SPANS,))])


def test_sentences_are_scored_by_their_own_tokens_and_unknown_where_chunks_are(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus")
    search = TokenSearch(corpus.views, folder)

    ((stored, unknown),) = search.score_sentences([SentenceScoreRequest(request([1, 2]), (SPANS, SPANS))])

    query = request([]).query
    (expected,) = sentence_scores(query, request([]).weights, [code_of("walrus")], [SPANS])
    assert np.isfinite(stored).all()
    np.testing.assert_array_equal(stored, expected)
    assert np.isnan(unknown).all()


def test_shards_have_every_chunk_once(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", num_chunks=7)
    shards = [TokenSearch(corpus.views, folder, Shard(number, 3)) for number in range(3)]

    scored = [np.flatnonzero(~np.isnan(score(shard, *range(1, 8)))) + 1 for shard in shards]

    assert [keys.tolist() for keys in scored] == [[3, 6], [1, 4, 7], [2, 5]]


def test_a_view_that_followed_every_change_equals_one_that_is_built_anew(corpus: Corpus, folder: Path) -> None:
    follower, file_ids = TokenSearch(corpus.views, folder), dict[str, str]()
    random_source = np.random.default_rng(0)
    for step in range(25):
        if file_ids and random_source.random() < 0.4:
            corpus.files.delete(TENANT, file_ids.pop(random_source.choice(sorted(file_ids))))
        else:
            file_ids[f"word{step}"] = add(corpus, f"word{step}", num_chunks=int(random_source.integers(1, 4)))
        if random_source.random() < 0.5:
            follower.maintain()
    all_keys = range(1, 100)

    anew = TokenSearch(CountingViews(corpus.database, page_limit=2), folder / "anew")
    maintain(follower)
    maintain(anew)

    scores = score(follower, *all_keys)

    np.testing.assert_array_equal(scores, score(anew, *all_keys))
    assert np.count_nonzero(~np.isnan(scores)) == len(corpus.views.passages(list(all_keys), SCOPE))


def test_a_start_loads_the_snapshot_and_reads_only_newer_changes(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", num_chunks=MANY)
    maintain(TokenSearch(corpus.views, folder))
    add(corpus, "penguin")
    views = CountingViews(corpus.database)

    scores = score(TokenSearch(views, folder), 1, MANY, MANY + 1)

    assert scores == pytest.approx(expected("walrus", "walrus", "penguin"), abs=1e-6)
    assert views.num_read == [1]


def test_changes_after_the_snapshot_are_read_again_by_the_next_process(corpus: Corpus, folder: Path) -> None:
    doomed = add(corpus, "heron")
    add(corpus, "walrus", num_chunks=MANY)
    dead = TokenSearch(corpus.views, folder)
    maintain(dead)
    add(corpus, "penguin")
    corpus.files.delete(TENANT, doomed)
    maintain(dead)
    assert math.isnan(score(dead, 1)[0])  # it has applied the changes, and dies before the next snapshot

    successor = TokenSearch(corpus.views, folder)

    assert math.isnan(score(successor, 1)[0])
    assert score(successor, 2, MANY + 2) == pytest.approx(expected("walrus", "penguin"), abs=1e-6)


def test_a_torn_snapshot_is_not_loaded(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", num_chunks=MANY)
    maintain(TokenSearch(corpus.views, folder))
    for file in folder.glob("*/*/*.tokens"):
        file.write_bytes(file.read_bytes()[:-1])
    views = CountingViews(corpus.database)

    assert score(TokenSearch(views, folder), MANY) == pytest.approx(expected("walrus"), abs=1e-6)
    assert sum(views.num_read) == MANY


def test_a_snapshot_of_another_log_is_not_loaded(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", num_chunks=MANY)
    first = TokenSearch(corpus.views, folder)
    maintain(first)

    corpus.vector_stores.delete(TENANT, STORE)
    add(corpus, "penguin")

    for search in (first, TokenSearch(corpus.views, folder)):
        assert score(search, MANY + 1) == pytest.approx(expected("penguin"), abs=1e-6)
        assert math.isnan(score(search, MANY)[0])


def test_a_flip_goes_to_the_next_generation_and_drops_the_old_view(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", num_chunks=MANY)
    search = TokenSearch(corpus.views, folder)
    maintain(search)
    build = corpus.generations.claim("test", NEXT_GENERATION, 60)
    assert build is not None
    add(corpus, "penguin", generations=(GENERATION, NEXT_GENERATION))
    pending = corpus.generations.pending(build, 5_000)
    codes = [code_of("walrus", NEXT_GENERATION)] * len(pending)
    corpus.generations.add(build, pending, unit_rows(len(pending), [1]), codes)
    assert corpus.generations.flip(build)

    (scores,) = search.score([request([1, MANY + 1], generation=NEXT_GENERATION)])
    maintain(search)

    assert scores.tolist() == pytest.approx(expected("walrus", "penguin", generation=NEXT_GENERATION), abs=1e-6)
    assert {name: len(index or []) for name, index in indexes(search).items()} == {NEXT_GENERATION: MANY + 1}
    assert len(list(folder.rglob("head.json"))) == 1


def test_a_generation_that_is_retired_and_built_again_is_read_again(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus")
    search = TokenSearch(corpus.views, folder)
    assert score(search, 1) == pytest.approx(expected("walrus"), abs=1e-6)
    for generation, word in ((NEXT_GENERATION, "first"), (GENERATION, "second")):
        build = corpus.generations.claim("test", generation, 60)
        assert build is not None
        pending = corpus.generations.pending(build, 10)
        corpus.generations.add(build, pending, unit_rows(len(pending), [1]), [code_of(word, generation)] * len(pending))
        assert corpus.generations.flip(build)
        assert not np.isnan(search.score([request([1], generation=generation)])).any()
        corpus.generations.retire(keep_s=-1)
        maintain(search)

    assert score(search, 1) == pytest.approx(expected("second"), abs=1e-6)


def test_a_deleted_store_takes_its_files_along(corpus: Corpus, folder: Path) -> None:
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    add(corpus, "walrus", num_chunks=MANY, store=other)
    search = TokenSearch(corpus.views, folder)
    maintain(search)
    assert list(folder.rglob("*.tokens"))

    corpus.vector_stores.delete(TENANT, other)
    maintain(search)

    assert list(folder.rglob("*.tokens")) == []
    with pytest.raises(NotFoundError):
        search.score([request([1], Scope(TENANT, (other,)))])


def test_a_start_deletes_snapshots_of_what_went_while_no_replica_ran(corpus: Corpus, folder: Path) -> None:
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    add(corpus, "walrus", num_chunks=MANY)
    add(corpus, "penguin", num_chunks=MANY, store=other)
    maintain(TokenSearch(corpus.views, folder))
    assert len(list(folder.rglob("head.json"))) == 2
    corpus.vector_stores.delete(TENANT, other)

    TokenSearch(corpus.views, folder).maintain()

    (head_file,) = folder.rglob("head.json")
    assert json.loads(head_file.read_text())["name"] == ["tokens", TENANT, STORE, GENERATION, "None"]

    TokenSearch(corpus.views, folder, Shard(0, 2)).maintain()  # another number of shards

    assert list(folder.rglob("head.json")) == []


def test_a_save_deletes_what_a_killed_save_left(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", num_chunks=MANY)
    maintain(TokenSearch(corpus.views, folder))
    (snapshot,) = (path.parent for path in folder.rglob("head.json"))
    for name, age_s in (("unfinished-old", 2 * snapshots.ABANDONED_S), ("unfinished-now", 0)):
        unfinished = snapshot.with_name(name)
        unfinished.mkdir()
        os.utime(unfinished, (time.time() - age_s,) * 2)

    add(corpus, "penguin", num_chunks=MANY)
    maintain(TokenSearch(corpus.views, folder))

    assert [path.name for path in snapshot.parent.glob("unfinished-*")] == ["unfinished-now"]


def test_a_view_that_missed_trimmed_removals_starts_again(corpus: Corpus, folder: Path) -> None:
    search = TokenSearch(corpus.views, folder)
    gone = [add(corpus, f"word{number}") for number in range(5)]
    add(corpus, "walrus")
    assert not np.isnan(score(search, *range(1, 7))).any()
    for file_id in gone:
        corpus.files.delete(TENANT, file_id)

    assert corpus.log.trim(max_removals=1) == 4
    maintain(search)

    assert np.flatnonzero(~np.isnan(score(search, *range(1, 7)))).tolist() == [5]


def test_replicas_of_one_machine_do_not_disturb_each_other(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus", num_chunks=MANY)
    one = TokenSearch(corpus.views, folder)
    maintain(one)
    two = TokenSearch(corpus.views, folder)
    assert score(two, 1) == pytest.approx(expected("walrus"), abs=1e-6)

    add(corpus, "penguin", num_chunks=MANY)
    maintain(one)
    maintain(two)

    for search in (one, two, TokenSearch(corpus.views, folder)):
        assert score(search, 1, 2 * MANY) == pytest.approx(expected("walrus", "penguin"), abs=1e-6)


def test_a_view_whose_folder_was_deleted_starts_again(corpus: Corpus, folder: Path) -> None:
    add(corpus, "walrus")
    search = TokenSearch(corpus.views, folder)
    assert score(search, 1) == pytest.approx(expected("walrus"), abs=1e-6)
    shutil.rmtree(folder)
    add(corpus, "penguin")

    with pytest.raises(StageUnavailableError):
        score(search, 2)

    assert score(search, 1, 2) == pytest.approx(expected("walrus", "penguin"), abs=1e-6)


def test_a_folder_that_cannot_be_written_fails_scores_and_not_the_maintenance(
    corpus: Corpus, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(corpus, "walrus")
    folder.write_text("a file in the way")
    search = TokenSearch(corpus.views, folder)

    with pytest.raises(StageUnavailableError):
        score(search, 1)
    assert not search.maintain()
    assert "token vectors are not updated" in caplog.text

    folder.unlink()

    assert score(search, 1) == pytest.approx(expected("walrus"), abs=1e-6)
