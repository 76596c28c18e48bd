"""A result that is whole is no error because nobody can tell whether it may be cached."""

from models.errors.storage import DatabaseUnavailableError
from serve.caching.keys import ResultKey, is_current

KEY = ResultKey("digest", {})


async def key_now(key: ResultKey | None) -> ResultKey | None:
    return key


async def gone() -> ResultKey | None:
    raise DatabaseUnavailableError("it does not answer")


async def test_a_key_that_cannot_be_read_again_is_not_current_and_raises_nothing() -> None:
    current = [
        await is_current(KEY, now) for now in (key_now(KEY), key_now(ResultKey("other", {})), key_now(None), gone())
    ]

    assert current == [True, False, False, False]
