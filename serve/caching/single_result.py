"""A flight of one item: a call with a single result."""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


async def single_source(call: Coroutine[Any, Any, T]) -> AsyncGenerator[T, None]:
    yield await call


async def single_result(items: AsyncGenerator[T, None]) -> T:
    """The first item, without waiting for an end."""
    async with aclosing(items):
        return await anext(items)
