"""Token vectors are stored and removed with their chunk, and read back from the log as they were written."""

import numpy as np
import pytest
from corpus_samples import DIM, GENERATION, STORE, TENANT, Clock, complete, cut, embed, encode, ingest
from sqlalchemy import func, select

from models.corpus.corpus import Corpus
from models.corpus.records import Job, TokenChanges
from models.corpus.schema import token_vectors
from models.corpus.views import Shard
from models.errors.requests import InvalidRequestError
from models.types.arrays import FloatArray

NEXT_GENERATION = "wide@1"


def changes(corpus: Corpus, after_seq: int = 0, generation: str = GENERATION, limit: int = 100) -> TokenChanges:
    return corpus.views.token_changes(TENANT, STORE, after_seq, generation, limit)


def num_stored(corpus: Corpus) -> int:
    with corpus.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(token_vectors)).scalar_one()


def claim(corpus: Corpus, name: str, text: str) -> Job:
    file_id = corpus.files.add(TENANT, name, text.encode()).file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    (job,) = corpus.jobs.claim("worker", 1, 60)
    return job


def ones(num_rows: int) -> FloatArray:
    return np.ones((num_rows, DIM), np.float32)


def test_changes_have_the_stored_codes_by_chunk(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "alpha beta gamma")

    page = changes(corpus)

    assert page.added_keys.tolist() == [1, 2]
    assert page.codes == encode(cut("alpha beta gamma"))
    assert (page.up_to_seq, page.is_last) == (1, True)


def test_chunks_without_token_vectors_are_in_no_page(corpus: Corpus) -> None:
    job = claim(corpus, "a.md", "alpha")

    corpus.jobs.complete(job, "alpha", cut("alpha"), {GENERATION: embed(cut("alpha"))})

    assert changes(corpus).codes == ()
    assert changes(corpus).up_to_seq == 1
    assert len(corpus.views.vector_changes(TENANT, STORE, 0, GENERATION).added_keys) == 1


def test_a_wrong_number_of_codes_is_refused_and_stores_nothing(corpus: Corpus) -> None:
    job = claim(corpus, "a.md", "alpha")

    with pytest.raises(InvalidRequestError, match="token_codes of tiny@1 has 2 items for 1 chunks"):
        corpus.jobs.complete(job, "alpha", cut("alpha"), {GENERATION: ones(1)}, {GENERATION: (b"a", b"b")})

    assert num_stored(corpus) == 0
    complete(corpus, job)
    assert num_stored(corpus) == 1


def test_a_page_never_splits_a_change_and_has_the_removals(corpus: Corpus) -> None:
    first = ingest(corpus, "a.md", "0123456789" * 3)
    ingest(corpus, "b.md", "abcdefghij" * 2)

    page = changes(corpus, limit=1)
    corpus.files.delete(TENANT, first)
    next_page = changes(corpus, page.up_to_seq, limit=10)

    assert page.added_keys.tolist() == [1, 2, 3]
    assert next_page.added_keys.tolist() == [4, 5]
    assert next_page.removed_keys.tolist() == [1, 2, 3]


def test_shards_have_every_chunk_once(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "0123456789" * 7)

    pages = [corpus.views.token_changes(TENANT, STORE, 0, GENERATION, 10, Shard(number, 3)) for number in range(3)]

    assert [page.added_keys.tolist() for page in pages] == [[3, 6], [1, 4, 7], [2, 5]]


def test_token_vectors_go_with_their_file_and_their_store(corpus: Corpus) -> None:
    doomed = ingest(corpus, "a.md", "alpha")
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    ingest(corpus, "b.md", "beta", store=other)
    assert num_stored(corpus) == 2

    corpus.files.delete(TENANT, doomed)
    assert num_stored(corpus) == 1
    corpus.vector_stores.delete(TENANT, other)
    assert num_stored(corpus) == 0


def test_a_new_version_of_a_file_replaces_its_token_vectors(corpus: Corpus) -> None:
    file_id = ingest(corpus, "a.md", "alpha")

    corpus.files.replace(TENANT, file_id, b"omega")
    (job,) = corpus.jobs.claim("worker", 1, 60)
    complete(corpus, job)

    assert changes(corpus).codes == encode(cut("omega"))
    assert changes(corpus, after_seq=1).removed_keys.tolist() == [1]


def test_a_build_stores_its_own_token_vectors_and_a_retired_generation_loses_them(corpus: Corpus, clock: Clock) -> None:
    ingest(corpus, "a.md", "0123456789" * 2)
    build = corpus.generations.claim("builder", NEXT_GENERATION, 60)
    assert build is not None
    pending = corpus.generations.pending(build, 10)

    corpus.generations.add(build, pending, ones(2), (b"first", b"second"))
    assert corpus.generations.flip(build)

    assert changes(corpus, generation=NEXT_GENERATION).codes == (b"first", b"second")
    assert changes(corpus).codes == encode(cut("0123456789" * 2))
    clock.now += 100
    assert corpus.generations.retire(keep_s=50) == 2
    assert changes(corpus).codes == ()
    assert num_stored(corpus) == 2


def test_a_build_takes_codes_for_all_chunks_or_for_none(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "0123456789" * 2)
    build = corpus.generations.claim("builder", NEXT_GENERATION, 60)
    assert build is not None
    pending = corpus.generations.pending(build, 10)

    with pytest.raises(InvalidRequestError, match="1 items for 2 chunks"):
        corpus.generations.add(build, pending, ones(2), (b"first",))

    assert corpus.generations.add(build, pending, ones(2)) == 2
    assert changes(corpus, generation=NEXT_GENERATION).codes == ()


def test_during_a_build_a_new_file_has_token_vectors_in_both_generations(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "alpha")
    assert corpus.generations.claim("builder", NEXT_GENERATION, 60) is not None
    job = claim(corpus, "b.md", "beta")

    codes = {GENERATION: (b"old",), NEXT_GENERATION: (b"new",)}
    corpus.jobs.complete(job, "beta", cut("beta"), {GENERATION: ones(1), NEXT_GENERATION: ones(1)}, codes)

    assert changes(corpus).codes == (*encode(cut("alpha")), b"old")
    assert changes(corpus, generation=NEXT_GENERATION).codes == (b"new",)
