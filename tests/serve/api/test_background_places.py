"""Places of responses in the background: whose they are, and how many."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from models.errors.limits import OverloadedError
from serve.api.background_responses import BackgroundResponses


@pytest.fixture
async def background() -> AsyncIterator[BackgroundResponses]:
    responses = BackgroundResponses()
    yield responses
    await responses.close()


def write(background: BackgroundResponses, tenant: str, number: int, max_tasks: int = 4) -> None:
    """Begin a response that does not end. The tenant of its rows may be a part of the tenant."""
    with background.place(tenant, max_tasks):
        background.start((f"{tenant}/part", f"resp_{number}"), asyncio.Event().wait(), set)  # type: ignore[arg-type]


async def test_one_tenant_may_have_all_places_and_no_more(background: BackgroundResponses) -> None:
    for number in range(4):
        write(background, "acme", number)

    with pytest.raises(OverloadedError):
        write(background, "acme", 4)


async def test_a_tenant_is_not_refused_for_the_responses_of_another(background: BackgroundResponses) -> None:
    for number in range(4):
        write(background, "acme", number)

    write(background, "other", 4)
    write(background, "other", 5)
    with pytest.raises(OverloadedError):  # it has its half
        write(background, "other", 6)
    with pytest.raises(OverloadedError):
        write(background, "acme", 7)


async def test_all_tenants_together_have_twice_the_places(background: BackgroundResponses) -> None:
    for number in range(8):
        write(background, f"tenant{max(0, number - 3)}", number)

    with pytest.raises(OverloadedError):
        write(background, "last", 8)


async def test_what_is_being_stored_has_its_place(background: BackgroundResponses) -> None:
    """Requests that come together were all let in, since none had a task yet."""
    with background.place("acme", 1), pytest.raises(OverloadedError):
        write(background, "acme", 1, max_tasks=1)
    write(background, "acme", 2, max_tasks=1)


async def test_no_places_are_none_for_anybody(background: BackgroundResponses) -> None:
    with pytest.raises(OverloadedError):
        write(background, "acme", 0, max_tasks=0)
