"""Several files completed in one transaction: each whole or not at all, whatever becomes of the others."""

import random

import numpy as np
import pytest
from corpus_samples import GENERATION, STORE, TENANT, Clock, Follower, cut, embed, stored_texts

from models.corpus.completion import Completion
from models.corpus.corpus import Corpus
from models.corpus.records import Job
from models.errors.requests import ConflictError, InvalidRequestError, MissingVectorsError


def attach(corpus: Corpus, name: str, store: str = STORE) -> str:
    file_id = corpus.files.add(TENANT, name, f"text of {name}".encode()).file_id
    corpus.store_files.attach(TENANT, store, file_id)
    return file_id


def completion(corpus: Corpus, job: Job, generation: str = GENERATION) -> Completion:
    text = corpus.files.content(job.tenant, job.file_id).decode()
    chunks = cut(text)
    return Completion(job, text, chunks, {generation: embed(chunks)})


def claim(corpus: Corpus, owner: str = "worker", lease_s: float = 60) -> dict[str, Job]:
    return {job.filename: job for job in corpus.jobs.claim(owner, 100, lease_s)}


def statuses(corpus: Corpus, file_ids: list[str]) -> list[str]:
    return [corpus.store_files.get(TENANT, STORE, file_id).status for file_id in file_ids]


def test_files_of_a_group_are_searchable_together(corpus: Corpus) -> None:
    manuals = corpus.vector_stores.create(TENANT, "manuals").vector_store_id
    file_ids = [attach(corpus, name) for name in ("a", "b", "c")]
    attach(corpus, "d", manuals)

    errors = corpus.jobs.complete_all([completion(corpus, job) for job in claim(corpus).values()])

    assert errors == [None] * 4
    assert statuses(corpus, file_ids) == ["completed"] * 3
    assert [corpus.files.text(TENANT, file_id) for file_id in file_ids] == ["text of a", "text of b", "text of c"]
    assert stored_texts(corpus, store=manuals) == ["Title\ntext of d"]
    follower = Follower()
    follower.catch_up(corpus, limit=1)
    assert len(follower.vectors) == 3


def test_a_lost_lease_fails_its_own_file_alone(corpus: Corpus, clock: Clock) -> None:
    file_ids = [attach(corpus, name) for name in ("a", "b", "c")]
    group = [completion(corpus, job) for job in claim(corpus, "slow", lease_s=30).values()]
    clock.now += 31
    (heir,) = corpus.jobs.claim("heir", 1, 60)

    errors = corpus.jobs.complete_all(group)

    lost = [done.job.job_id for done in group].index(heir.job_id)
    assert [type(error) for error in errors if error] == [ConflictError]
    assert isinstance(errors[lost], ConflictError)
    assert sorted(statuses(corpus, file_ids)) == ["completed", "completed", "in_progress"]
    corpus.jobs.complete_all([completion(corpus, heir)])
    assert statuses(corpus, file_ids) == ["completed"] * 3
    assert len(stored_texts(corpus)) == 3


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_to_some_files_the_others_are_stored(corpus: Corpus, seed: int) -> None:
    """Any mixture of good files and files that were detached, deleted, replaced or given bad vectors."""
    source, names = random.Random(seed), [str(number) for number in range(12)]
    file_ids = {name: attach(corpus, name) for name in names}
    group = {name: completion(corpus, job) for name, job in claim(corpus).items()}
    fates = {name: source.choice(["good", "detached", "deleted", "replaced", "bad vectors"]) for name in names}
    for name, fate in fates.items():
        if fate == "detached":
            corpus.store_files.detach(TENANT, STORE, file_ids[name])
        elif fate == "deleted":
            corpus.files.delete(TENANT, file_ids[name])
        elif fate == "replaced":
            corpus.files.replace(TENANT, file_ids[name], b"another text")
        elif fate == "bad vectors":
            done = group[name]
            group[name] = Completion(done.job, done.text, done.chunks, {GENERATION: np.zeros((9, 4), np.float32)})

    errors = dict(zip(group, corpus.jobs.complete_all(list(group.values())), strict=True))

    expected = {"good": type(None), "bad vectors": InvalidRequestError}
    assert {name: type(error) for name, error in errors.items()} == {
        name: expected.get(fate, ConflictError) for name, fate in fates.items()
    }
    good = [name for name, fate in fates.items() if fate == "good"]
    assert sorted(stored_texts(corpus)) == sorted(f"Title\ntext of {name}" for name in good)


def test_a_file_without_a_required_generation_is_not_stored(corpus: Corpus) -> None:
    attach(corpus, "z")
    corpus.jobs.complete_all([completion(corpus, job) for job in claim(corpus).values()])
    for name in ("a", "b"):
        attach(corpus, name)
    jobs = claim(corpus)

    errors = corpus.jobs.complete_all([completion(corpus, jobs["a"], "other@1"), completion(corpus, jobs["b"])])

    assert [type(error) for error in errors] == [MissingVectorsError, type(None)]
    assert sorted(stored_texts(corpus)) == ["Title\ntext of b", "Title\ntext of z"]


def test_a_group_of_lost_files_is_no_change(corpus: Corpus) -> None:
    for name in ("a", "b"):
        attach(corpus, name)
    group = [completion(corpus, job) for job in claim(corpus).values()]
    corpus.jobs.complete_all(group)
    head = corpus.views.heads([(TENANT, STORE)])

    errors = corpus.jobs.complete_all(group)

    assert [type(error) for error in errors] == [ConflictError] * 2
    assert corpus.views.heads([(TENANT, STORE)]) == head
    assert corpus.jobs.complete_all([]) == []
