"""Whose file is next: a property of random queues, on a real corpus."""

import random
from collections import Counter

import pytest
from corpus_samples import STORE, TENANT, Clock, complete

from models.corpus.corpus import Corpus
from models.corpus.job_queue import MAX_PATIENCE_S, PATIENCE_S_PER_BYTE, SMALL_FILE_BYTES
from models.corpus.turns import Lane, Queue

SMALL, LARGE = Lane(is_large=False), Lane(is_large=True)


def attach(corpus: Corpus, name: str, num_bytes: int = 10, tenant: str = TENANT, store: str = STORE) -> str:
    file_id = corpus.files.add(tenant, name, b"x" * num_bytes).file_id
    corpus.store_files.attach(tenant, store, file_id)
    return file_id


def names(corpus: Corpus, limit: int, lane: Lane | None = None) -> list[str]:
    return [job.filename for job in corpus.jobs.claim("worker", limit, 60, lane)]


@pytest.mark.parametrize("seed", range(20))
def test_places_are_shared_in_turn_whatever_waits(seed: int) -> None:
    """Among tenants that always have files waiting, the numbers of turns differ by one at most; so among stores."""
    source = random.Random(seed)
    queues = [(f"tenant {tenant}", f"store {store}") for tenant in range(4) for store in range(source.randint(1, 3))]
    lane, turns = Lane(), Counter[Queue]()

    for _ in range(source.randint(20, 60)):
        turns.update(lane.share(queues, {}, num_free=1))

    by_tenant = Counter[str]()
    for (tenant, _), count in turns.items():
        by_tenant[tenant] += count
    assert max(by_tenant.values()) - min(by_tenant.values()) <= 1
    for tenant in by_tenant:
        counts = [turns[queue] for queue in queues if queue[0] == tenant]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_tenant_with_slow_files_leaves_places_free(seed: int) -> None:
    source = random.Random(seed)
    num_places = source.randint(2, 64)
    lane, working = Lane(max_tenant_share=0.75), Counter[Queue]()

    while places := lane.share([("slow", "one"), ("slow", "two")], working, num_places - working.total()):
        working.update(places)  # none of its files ever ends
    late = lane.share([("slow", "one"), ("late", "one")], working, num_places - working.total())

    assert 0.75 * num_places <= working.total() < 0.75 * num_places + 1
    assert late[("late", "one")] == num_places - working.total()


def test_a_lane_of_one_place_serves_every_tenant() -> None:
    lane = Lane(max_tenant_share=0.75)

    served = [lane.share([("a", "s"), ("b", "s")], {}, 1) for _ in range(4)]

    assert [next(iter(places))[0] for places in served] == ["a", "b", "a", "b"]


def test_a_tenant_does_not_wait_for_anothers_thousands(corpus: Corpus) -> None:
    for number in range(30):
        attach(corpus, f"many {number}")
    attach(corpus, "single", tenant="tenant-b")

    assert names(corpus, 2) == ["many 0", "single"]


def test_vector_stores_of_a_tenant_take_turns(corpus: Corpus) -> None:
    manuals = corpus.vector_stores.create(TENANT, "manuals").vector_store_id
    for number in range(5):
        attach(corpus, f"many {number}")
    attach(corpus, "manual", store=manuals)

    assert set(names(corpus, 2)) == {"many 0", "manual"}


def test_a_tenants_files_in_work_count_as_turns(corpus: Corpus) -> None:
    for number in range(6):
        attach(corpus, f"many {number}")
    assert len(names(corpus, 2)) == 2
    for number in range(3):
        attach(corpus, f"other {number}", tenant="tenant-b")

    assert names(corpus, 2) == ["other 0", "other 1"]


def test_every_free_place_is_filled(corpus: Corpus) -> None:
    attach(corpus, "single", tenant="tenant-b")
    for number in range(9):
        attach(corpus, f"many {number}")

    assert len(names(corpus, 8)) == 8


def test_small_and_large_files_have_lanes_of_their_own(corpus: Corpus) -> None:
    attach(corpus, "book", SMALL_FILE_BYTES + 1)
    attach(corpus, "note", SMALL_FILE_BYTES)

    assert names(corpus, 5, SMALL) == ["note"]
    assert names(corpus, 5, LARGE) == ["book"]


def test_a_small_file_passes_a_larger_one_of_its_store(corpus: Corpus, clock: Clock) -> None:
    attach(corpus, "book", 400_000)
    clock.now += 400_000 * PATIENCE_S_PER_BYTE - 1
    attach(corpus, "note")

    assert names(corpus, 1) == ["note"]


def test_a_large_file_is_not_passed_for_ever(corpus: Corpus, clock: Clock) -> None:
    book = attach(corpus, "book", 1_000_000)
    order = []
    while book not in order:
        clock.now += 1
        attach(corpus, f"note at {clock.now}")
        (job,) = corpus.jobs.claim("worker", 1, 60)
        order.append(job.file_id)
        if job.file_id != book:
            complete(corpus, job)

    assert len(order) == pytest.approx(1_000_000 * PATIENCE_S_PER_BYTE, abs=2)


def test_the_largest_file_waits_ten_minutes_at_most(corpus: Corpus, clock: Clock) -> None:
    attach(corpus, "encyclopedia", 20_000_000)
    clock.now += MAX_PATIENCE_S + 1
    attach(corpus, "note")

    assert names(corpus, 1) == ["encyclopedia"]


def test_a_replaced_file_queues_again_with_its_new_size(corpus: Corpus) -> None:
    file_id = attach(corpus, "grows", 10)
    corpus.files.replace(TENANT, file_id, b"x" * (SMALL_FILE_BYTES + 1))

    assert names(corpus, 5, SMALL) == []
    assert names(corpus, 5, LARGE) == ["grows"]
