"""Keys of the database: found by their digest, refused after they ended, rotated with an overlap."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from models.corpus.access_schema import api_keys
from models.corpus.corpus import Corpus
from models.errors.access import UnauthorizedError
from models.errors.requests import InvalidRequestError, NotFoundError
from serve.access.caller import Caller
from serve.access.credentials import MAX_CREDENTIAL_CHARS, Access
from serve.access.stored_keys import KEEP_S, StoredKeys
from tests.serve.api.api_samples import Clock


class Stored:
    """A corpus with keys, and a clock for all of it."""

    def __init__(self, corpus: Corpus, clock: Clock) -> None:
        self.corpus, self.clock = corpus, clock
        self.access = Access([StoredKeys(corpus.api_keys, clock)])

    async def caller(self, secret: str) -> Caller:
        return await self.access.caller(f"Bearer {secret}")


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    clock = Clock()
    with closing(Corpus.open(f"sqlite:///{tmp_path / 'corpus.db'}", tmp_path / "files", clock)) as corpus:
        yield Stored(corpus, clock)


async def test_a_key_has_the_rights_it_was_made_with(stored: Stored) -> None:
    key, secret = stored.corpus.api_keys.create("acme", "portal", "writer", ("manuals",))

    caller = await stored.caller(secret)

    assert caller == Caller("acme", "writer", frozenset(["manuals"]), key.key_id)
    assert stored.corpus.api_keys.list("acme") == [key]
    assert stored.corpus.api_keys.list("globex") == []


async def test_the_database_has_no_key(stored: Stored) -> None:
    _, secret = stored.corpus.api_keys.create("acme", "portal", "reader")

    with stored.corpus.database.reading() as connection:
        row = connection.execute(select(api_keys)).one()

    assert secret not in str(row)
    assert len(secret) > 40


async def test_a_revoked_key_is_refused(stored: Stored) -> None:
    key, secret = stored.corpus.api_keys.create("acme", "portal", "reader")
    await stored.caller(secret)

    stored.corpus.api_keys.revoke(key.key_id)
    stored.corpus.api_keys.revoke(key.key_id)
    stored.clock.ahead_s += KEEP_S

    with pytest.raises(UnauthorizedError, match="was revoked"):
        await stored.caller(secret)


async def test_an_expired_key_is_refused_at_once(stored: Stored) -> None:
    _, secret = stored.corpus.api_keys.create("acme", "portal", "reader", None, int(stored.clock()) + 100)
    await stored.caller(secret)

    stored.clock.ahead_s += 101

    with pytest.raises(UnauthorizedError, match="has expired"):
        await stored.caller(secret)


async def test_a_rotated_key_and_its_successor_overlap(stored: Stored) -> None:
    old, old_secret = stored.corpus.api_keys.create("acme", "portal", "admin", ("a", "b"))

    new, new_secret = stored.corpus.api_keys.rotate(old.key_id, 3600)
    before = await stored.caller(old_secret), await stored.caller(new_secret)
    stored.clock.ahead_s += 3601

    assert [caller.actor for caller in before] == [old.key_id, new.key_id]
    assert before[0].vector_stores == before[1].vector_stores == frozenset(["a", "b"])
    assert (await stored.caller(new_secret)).role == "admin"
    with pytest.raises(UnauthorizedError, match="has expired"):
        await stored.caller(old_secret)
    with pytest.raises(NotFoundError):
        stored.corpus.api_keys.rotate(old.key_id, 3600)


async def test_a_rotated_key_lives_as_long_as_the_old_one_did(stored: Stored) -> None:
    old, _ = stored.corpus.api_keys.create("acme", "portal", "admin", None, int(stored.clock()) + 1000)
    stored.clock.ahead_s += 900

    new, _ = stored.corpus.api_keys.rotate(old.key_id, 3600)

    assert new.expires_at is not None
    assert new.expires_at - new.created_at == old.expires_at - old.created_at  # type: ignore[operator]
    assert stored.corpus.api_keys.list("acme")[0].expires_at == old.expires_at  # earlier than the overlap


@pytest.mark.parametrize("secret", ["unknown", "x" * (MAX_CREDENTIAL_CHARS + 1), "k\u00e9y", "\udcff"])
async def test_an_unknown_key_is_refused(stored: Stored, secret: str) -> None:
    with pytest.raises(UnauthorizedError, match="unknown"):
        await stored.caller(secret)


def test_a_key_that_could_do_nothing_is_not_made(stored: Stored) -> None:
    create = stored.corpus.api_keys.create
    for arguments in (("t", "", "reader"), ("t", "n", "reader", ()), ("t", "n", "reader", None, 1)):
        with pytest.raises(InvalidRequestError):
            create(*arguments)
