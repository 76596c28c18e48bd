import random

import numpy as np
import pytest
from corpus_samples import DIM, GENERATION, SCOPE, STORE, TENANT, Follower, cut, embed, ingest, stored_texts

from models.corpus.corpus import Corpus
from models.errors.requests import ConflictError, InvalidRequestError
from models.types.chunks import Passage
from models.types.scope import Scope


def test_the_head_rises_with_each_change(corpus: Corpus) -> None:
    heads = [corpus.views.heads([(TENANT, STORE)])[TENANT, STORE].seq]

    file_id = ingest(corpus, "a.md", "alpha")
    heads.append(corpus.views.heads([(TENANT, STORE)])[TENANT, STORE].seq)
    corpus.store_files.detach(TENANT, STORE, file_id)
    heads.append(corpus.views.heads([(TENANT, STORE)])[TENANT, STORE].seq)

    assert heads == [0, 1, 2]


def test_every_change_that_a_search_can_see_changes_the_searched_state(corpus: Corpus) -> None:
    file_id, states = ingest(corpus, "a.md", "alpha"), []
    for change in (
        lambda: None,
        lambda: ingest(corpus, "b.md", "beta"),
        lambda: corpus.store_files.set_attributes(TENANT, STORE, file_id, {"year": 2024}),
        lambda: corpus.store_files.detach(TENANT, STORE, file_id),
        lambda: corpus.vector_stores.delete(TENANT, STORE),
        lambda: ingest(corpus, "b.md", "beta"),
    ):
        change()
        states.append(corpus.views.searched_state(SCOPE))

    assert len(set(states)) == len(states)
    assert states[0][0].generation == GENERATION


def test_the_searched_state_is_of_the_scope_alone(corpus: Corpus) -> None:
    store = corpus.vector_stores.create(TENANT, "mine").vector_store_id
    ingest(corpus, "a.md", "alpha", store=store)
    before = corpus.views.searched_state(Scope(TENANT, (store, "vs_unknown")))

    ingest(corpus, "b.md", "beta")
    ingest(corpus, "b.md", "beta", tenant="other")

    assert corpus.views.searched_state(Scope(TENANT, (store, "vs_unknown"))) == before
    assert [searched.vector_store_id for searched in before] == [store]
    assert corpus.views.searched_state(Scope("other", (store,))) == ()


def test_heads_are_of_the_requested_stores(corpus: Corpus) -> None:
    other = corpus.vector_stores.create("other", "other").vector_store_id
    ingest(corpus, "a.md", "alpha")
    ingest(corpus, "a.md", "alpha", tenant="other", store=other)
    ingest(corpus, "b.md", "beta", tenant="other", store=other)
    ingest(corpus, "c.md", "gamma", tenant="other")

    heads = corpus.views.heads([(TENANT, STORE), ("other", other), (TENANT, other), ("nobody", STORE)])

    seqs = {store: head.seq for store, head in heads.items()}
    assert seqs == {(TENANT, STORE): 1, ("other", other): 2, ("nobody", STORE): 0}
    assert len({head.log_id for head in heads.values()}) == 3
    assert corpus.views.heads([]) == {}


def test_changes_carry_what_was_stored(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "alpha beta gamma")

    vectors = corpus.views.vector_changes(TENANT, STORE, 0, GENERATION)
    texts = corpus.views.text_changes(TENANT, STORE, 0)

    assert vectors.added_keys.tolist() == texts.added_keys.tolist() == [1, 2]
    assert vectors.added_keys.dtype == vectors.removed_keys.dtype == np.int64
    assert vectors.vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors.vectors, embed(cut("alpha beta gamma")))
    assert texts.texts == ("Title\nalpha beta", "Title\n gamma")
    assert (vectors.up_to_seq, vectors.head_seq, vectors.is_last) == (1, 1, True)


def test_nothing_new_is_an_empty_page(corpus: Corpus) -> None:
    changes = corpus.views.vector_changes("new tenant", STORE, 0, GENERATION)

    assert (changes.up_to_seq, changes.is_last) == (0, True)
    assert changes.added_keys.shape == changes.removed_keys.shape == (0,)
    assert changes.vectors.shape == (0, 0)


def test_a_page_never_splits_a_change(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "0123456789" * 3)
    ingest(corpus, "b.md", "abcdefghij" * 2)

    first = corpus.views.text_changes(TENANT, STORE, 0, limit=1)
    second = corpus.views.text_changes(TENANT, STORE, first.up_to_seq, limit=1)

    assert (len(first.texts), first.is_last) == (3, False)
    assert (len(second.texts), second.is_last) == (2, True)


def test_a_view_from_the_start_reads_only_existing_chunks(corpus: Corpus) -> None:
    gone = ingest(corpus, "a.md", "alpha")
    ingest(corpus, "b.md", "beta")
    corpus.files.delete(TENANT, gone)

    changes = corpus.views.text_changes(TENANT, STORE, 0)

    assert changes.texts == ("Title\nbeta",)
    assert changes.removed_keys.tolist() == []


def test_a_chunk_added_and_removed_between_reads_is_in_no_page(corpus: Corpus) -> None:
    indexed = ingest(corpus, "a.md", "alpha")
    seq = corpus.views.text_changes(TENANT, STORE, 0).up_to_seq
    unseen = ingest(corpus, "b.md", "beta")
    corpus.files.delete(TENANT, indexed)
    corpus.files.delete(TENANT, unseen)

    changes = corpus.views.text_changes(TENANT, STORE, seq)

    assert changes.added_keys.tolist() == []
    assert changes.removed_keys.tolist() == [1]


def test_generations_do_not_mix(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "alpha")
    file_id = corpus.files.add(TENANT, "b.md", b"beta").file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    (job,) = corpus.jobs.claim("worker", 1, 60)
    vectors = {GENERATION: embed(cut("beta")), "wide@1": np.ones((1, 7), np.float32)}
    assert corpus.generations.claim("builder", "wide@1", 60) is not None
    corpus.jobs.complete(job, "beta", cut("beta"), vectors)

    tiny = corpus.views.vector_changes(TENANT, STORE, 0, GENERATION)
    wide = corpus.views.vector_changes(TENANT, STORE, 0, "wide@1")

    assert (tiny.added_keys.tolist(), tiny.vectors.shape) == ([1, 2], (2, DIM))
    assert (wide.added_keys.tolist(), wide.vectors.shape) == ([2], (1, 7))
    assert tiny.up_to_seq == wide.up_to_seq == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_view_that_reads_at_random_times_ends_with_the_stored_chunks(corpus: Corpus, seed: int) -> None:
    random_source, follower = random.Random(seed), Follower()
    file_ids: dict[str, str] = {}
    for step in range(25):
        if file_ids and random_source.random() < 0.4:
            corpus.files.delete(TENANT, file_ids.pop(random_source.choice(sorted(file_ids))))
        else:
            name = f"{step}.md"
            file_ids[name] = ingest(corpus, name, "0123456789" * random_source.randint(0, 3))
        if random_source.random() < 0.4:
            follower.catch_up(corpus, random_source.choice([1, 2, 100]))

    follower.catch_up(corpus, 2)
    fresh = Follower()
    fresh.catch_up(corpus, 3)

    assert follower == fresh
    assert len(follower.vectors) == len(stored_texts(corpus))
    assert follower.vectors.keys() == corpus.views.passages(list(follower.vectors), SCOPE).keys()


def test_a_log_older_than_the_view_is_refused(corpus: Corpus) -> None:
    with pytest.raises(ConflictError, match="start again from 0"):
        corpus.views.text_changes(TENANT, STORE, 1)
    with pytest.raises(InvalidRequestError, match="at least 1"):
        corpus.views.text_changes(TENANT, STORE, 0, limit=0)


def test_passages_have_their_place_in_the_file(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha beta gamma")

    passages = corpus.views.passages(np.array([2, 99]), SCOPE)

    chunk_id = passages[2].chunk_id
    assert passages == {2: Passage(2, chunk_id, file_id, "a.md", " gamma", 10, 16, "Title")}
    assert chunk_id.startswith("chunk_")
    assert len(chunk_id) == len("chunk_") + 24


def test_passages_are_of_the_scope_alone(corpus: Corpus) -> None:
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    ingest(corpus, "a.md", "mine")
    ingest(corpus, "a.md", "mine", store=other)
    ingest(corpus, "a.md", "theirs", tenant="other")

    def found(*stores: str) -> list[int]:
        return sorted(corpus.views.passages([1, 2, 3], Scope(TENANT, stores)))

    assert found(STORE) == [1]
    assert found(STORE, other) == [1, 2]
    assert found() == []
    assert corpus.views.passages([], SCOPE) == {}


def test_a_chunk_key_is_never_used_again(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha beta gamma")
    corpus.files.delete(TENANT, file_id)

    ingest(corpus, "a.md", "alpha beta gamma")

    assert corpus.views.text_changes(TENANT, STORE, 0).added_keys.tolist() == [3, 4]
