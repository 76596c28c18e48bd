"""A wall clock that jumps: what an earlier clock leased or postponed until a far day is free as soon as it is back."""

from uuid import uuid4

import pytest
from corpus_samples import GENERATION, STORE, TENANT, Clock, ingest
from fsspec.implementations.memory import MemoryFileSystem

from models.corpus.backup.manifest import BackupUnderWayError
from models.corpus.backup.storage_lease import StorageLease
from models.corpus.corpus import Corpus
from models.corpus.positions import ViewKey

DAY_S = 86_400.0
LEASE_S, LONGEST_PAUSE_S = 30.0, 60.0
SINK = "webhook"


@pytest.fixture
def attached(corpus: Corpus) -> str:
    file_id = corpus.files.add(TENANT, "a.md", b"alpha").file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    return file_id


def claimed(corpus: Corpus, owner: str) -> list[str]:
    return [job.file_id for job in corpus.jobs.claim(owner, 9, LEASE_S, None, LONGEST_PAUSE_S)]


def test_a_job_that_died_before_the_jump_back_is_claimed(corpus: Corpus, clock: Clock, attached: str) -> None:
    claimed(corpus, "dead")
    while_it_lasts = claimed(corpus, "heir")
    clock.now -= DAY_S

    assert while_it_lasts == []
    assert claimed(corpus, "heir") == [attached]


def test_a_job_that_waited_before_the_jump_back_is_claimed(corpus: Corpus, clock: Clock, attached: str) -> None:
    (job,) = corpus.jobs.claim("first", 1, LEASE_S)
    corpus.jobs.release(job, delay_s=LONGEST_PAUSE_S)
    while_it_lasts = claimed(corpus, "second")
    clock.now -= DAY_S

    assert while_it_lasts == []
    assert claimed(corpus, "second") == [attached]


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
def test_a_job_under_way_stays_its_owners_across_a_jump(
    corpus: Corpus, clock: Clock, attached: str, jump_s: float
) -> None:
    claimed(corpus, "alive")
    clock.now += jump_s

    renewed = corpus.jobs.renew("alive", LEASE_S)

    assert len(renewed) == 1
    assert claimed(corpus, "heir") == []


def test_a_build_of_a_dead_process_goes_on_after_a_jump_back(corpus: Corpus, clock: Clock) -> None:
    ingest(corpus, "a.md", "alpha")
    other = f"{GENERATION}+"
    corpus.generations.claim("dead", other, LEASE_S)
    while_it_lasts = corpus.generations.claim("heir", other, LEASE_S)
    clock.now -= DAY_S

    assert while_it_lasts is None
    assert corpus.generations.claim("heir", other, LEASE_S) is not None


def test_a_view_of_a_dead_process_is_free_after_a_jump_back(corpus: Corpus, clock: Clock) -> None:
    key = ViewKey("milvus vectors", TENANT, STORE, GENERATION)
    corpus.positions.claim(key, "dead", LEASE_S)
    clock.now -= DAY_S

    assert corpus.positions.claim(key, "heir", LEASE_S)
    assert not corpus.positions.claim(key, "third", LEASE_S)


@pytest.mark.parametrize("order", ["document", "store"])
def test_events_of_a_clock_that_was_ahead_are_delivered(corpus: Corpus, clock: Clock, order: str) -> None:
    corpus.outbox.register([SINK])
    clock.now += DAY_S
    corpus.store_files.attach(TENANT, STORE, corpus.files.add(TENANT, "a.md", b"alpha").file_id)
    clock.now -= DAY_S

    assert corpus.outbox.claim(SINK, "owner", LEASE_S, order, LONGEST_PAUSE_S)
    assert len(corpus.outbox.due(SINK, 9, order, LONGEST_PAUSE_S)) == 1


@pytest.mark.parametrize("order", ["document", "store"])
def test_a_postponed_event_still_waits(corpus: Corpus, attached: str, clock: Clock, order: str) -> None:
    corpus.outbox.register([SINK])
    corpus.store_files.detach(TENANT, STORE, attached)
    corpus.outbox.claim(SINK, "owner", LEASE_S, order, LONGEST_PAUSE_S)
    (event,) = corpus.outbox.due(SINK, 9, order, LONGEST_PAUSE_S)
    corpus.outbox.settle(SINK, "owner", [], {event.event_key: LONGEST_PAUSE_S}, LEASE_S)

    assert corpus.outbox.due(SINK, 9, order, LONGEST_PAUSE_S) == []
    clock.now += LONGEST_PAUSE_S
    assert corpus.outbox.due(SINK, 9, order, LONGEST_PAUSE_S) != []


def test_the_lease_of_a_killed_backup_ends_after_a_jump_back(clock: Clock) -> None:
    path = f"/{uuid4().hex}"
    dead, heir = (StorageLease(MemoryFileSystem(), path, clock, owner) for owner in ("dead", "heir"))
    dead._claim()
    with pytest.raises(BackupUnderWayError), heir.taken():
        pass
    clock.now -= DAY_S

    with heir.taken():
        heir.check()
