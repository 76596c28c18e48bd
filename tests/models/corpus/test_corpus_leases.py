"""Leases: a resource has one owner until the owner releases the lease or the lease expires."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from backup_samples import new_database, postgresql_server

from models.corpus.database import Database, open_database
from models.corpus.leases import claim_lease, is_leased, release_lease, renew_lease
from tests.patience import PATIENCE_S

RESOURCE = "a store in a view"
NOW = 1_000.0
LEASE_S = 30.0
NUM_OWNERS = 8
NUM_ROUNDS = 20


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


def claim(database: Database, owner: str, now: float = NOW, resource: str = RESOURCE) -> bool:
    with database.writing() as connection:
        return claim_lease(connection, resource, owner, now, LEASE_S)


def renew(database: Database, owner: str, now: float) -> bool:
    with database.writing() as connection:
        return renew_lease(connection, RESOURCE, owner, now, LEASE_S)


def release(database: Database, owner: str) -> bool:
    with database.writing() as connection:
        return release_lease(connection, RESOURCE, owner)


def test_a_leased_resource_is_refused_to_every_claim(database: Database) -> None:
    assert claim(database, "first")

    assert not claim(database, "second")
    assert not claim(database, "first")
    assert claim(database, "second", resource="another store")


def test_an_expired_lease_goes_to_the_next_claim(database: Database) -> None:
    claim(database, "first")

    assert not claim(database, "second", NOW + LEASE_S - 0.001)
    assert claim(database, "second", NOW + LEASE_S)
    assert not renew(database, "first", NOW + LEASE_S)
    assert not release(database, "first")
    assert not claim(database, "third", NOW + LEASE_S)


def test_only_the_owner_renews(database: Database) -> None:
    claim(database, "first")

    assert not renew(database, "second", NOW + 20)
    assert renew(database, "first", NOW + 20)
    assert not claim(database, "second", NOW + 49)
    assert claim(database, "second", NOW + 50)


def test_an_owner_renews_an_expired_lease_that_nobody_claimed(database: Database) -> None:
    claim(database, "first")

    assert renew(database, "first", NOW + 100)
    assert not claim(database, "second", NOW + 100)


def test_only_the_owner_releases(database: Database) -> None:
    claim(database, "first")

    assert not release(database, "second")
    assert not claim(database, "second")
    assert release(database, "first")
    assert claim(database, "second")


def test_a_lease_can_be_read_without_a_claim(database: Database) -> None:
    claim(database, "first")

    with database.reading() as connection:
        assert is_leased(connection, RESOURCE, NOW + 29, LEASE_S)
        assert not is_leased(connection, RESOURCE, NOW + 30, LEASE_S)
        assert not is_leased(connection, "another store", NOW, LEASE_S)


def check_one_claim_of_many_succeeds(url: str) -> None:
    """Claim at once from several connection pools, as several processes would."""
    databases = [open_database(url) for _ in range(NUM_OWNERS)]
    barrier = Barrier(NUM_OWNERS)

    def claim_at_once(number: int) -> bool:
        barrier.wait(PATIENCE_S)
        # Each round begins when the lease of the round before expires.
        return claim(databases[number % NUM_OWNERS], f"owner {number}", NOW + number // NUM_OWNERS * LEASE_S)

    with ThreadPoolExecutor(NUM_OWNERS) as threads:
        for first in range(0, NUM_ROUNDS * NUM_OWNERS, NUM_OWNERS):
            claims = list(threads.map(claim_at_once, range(first, first + NUM_OWNERS)))
            assert claims.count(True) == 1
    for database in databases:
        database.close()


def test_of_concurrent_claims_one_succeeds(database_url: str) -> None:
    check_one_claim_of_many_succeeds(database_url)


@pytest.mark.slow
def test_of_concurrent_claims_on_postgresql_one_succeeds(state_folder: Path) -> None:
    with postgresql_server() as server:
        check_one_claim_of_many_succeeds(new_database(server, "leases"))
