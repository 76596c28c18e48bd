"""Leases: at most one owner works on a named resource at a time. Every function runs inside a caller's transaction.

A lease ends when its owner releases it, or at `expires_at`, in Unix seconds by the caller's clock. An owner whose lease
expired keeps it until another owner claims the resource: it may still renew or release it. An owner's name is random
and used for one lease only.

Views that many replicas share (Milvus) use these leases: see positions.py. Ingestion jobs and generation builds have
lease columns in their own rows instead. A worker claims whichever row is free, so one statement must find the row,
check its lease and lock it; and their leases must go when the row goes.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, not_, or_, select, update

from models.corpus.database import insert_for
from models.corpus.schema import leases

CLOCK_TOLERANCE = 10  # a lease that ends after as many lengths of it was written by a clock that was wrong


def has_ended(ends_at: ColumnElement[Any], now: float, longest_s: float) -> ColumnElement[bool]:
    """Whether the time has come, or is so far ahead that the clock must have jumped back since: nobody waits for it.

    `longest_s` is what a right clock can have added to its time.
    """
    return or_(ends_at <= now, ends_at > now + longest_s)


def is_leased(connection: Connection, resource: str, now: float, lease_s: float) -> bool:
    """Whether the resource has a lease that has not expired. A cheap read to make before a claim."""
    query = select(leases.c.owner).where(leases.c.resource == resource, not_(_has_expired(now, lease_s)))
    return connection.execute(query).first() is not None


def claim_lease(connection: Connection, resource: str, owner: str, now: float, lease_s: float) -> bool:
    """Lease the resource to `owner` until `now` + `lease_s`. False if a lease has not expired, even the owner's own."""
    values = {"owner": owner, "expires_at": now + lease_s}
    # One statement: of several claims at once, the database lets exactly one write the row.
    statement = insert_for(connection, leases).values(resource=resource, **values)
    statement = statement.on_conflict_do_update(
        index_elements=[leases.c.resource], set_=values, where=_has_expired(now, lease_s)
    )
    return connection.execute(statement.returning(leases.c.resource)).first() is not None


def renew_lease(connection: Connection, resource: str, owner: str, now: float, lease_s: float) -> bool:
    """Extend the owner's lease to `now` + `lease_s`. False if the owner does not have it any more."""
    statement = update(leases).where(_is_owned(resource, owner)).values(expires_at=now + lease_s)
    return connection.execute(statement).rowcount == 1


def release_lease(connection: Connection, resource: str, owner: str) -> bool:
    """End the owner's lease. False, and no change, if the owner does not have it any more."""
    return connection.execute(delete(leases).where(_is_owned(resource, owner))).rowcount == 1


def _has_expired(now: float, lease_s: float) -> ColumnElement[bool]:
    return has_ended(leases.c.expires_at, now, CLOCK_TOLERANCE * lease_s)


def _is_owned(resource: str, owner: str) -> ColumnElement[bool]:
    return and_(leases.c.resource == resource, leases.c.owner == owner)
