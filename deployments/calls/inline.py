"""A stage inside the process that calls it: the same class, reached through the same client, without the hop.

Right for small CPU stages, laptops and edge nodes. What it costs: the stage scales with its caller, shares its process
and its event loop, and its config restarts the application.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class InlineStage:
    """What takes a bound deployment's place in the graph: the replica's class, its arguments, its user_config."""

    kind: type
    arguments: tuple[Any, ...]
    user_config: dict[str, Any]

    def open(self) -> "InlineHandle":
        """The replica, in this process; `start` it before it is called."""
        return InlineHandle(self.kind(*self.arguments), self.user_config)


@dataclass(frozen=True)
class InlineHandle:
    """A replica in this process. Satisfies Handle. Belongs to one event loop."""

    replica: Any
    user_config: dict[str, Any]

    async def start(self) -> None:
        """Loads what the replica serves. Raises what Serve would stop a replica for."""
        await self.replica.reconfigure(self.user_config)

    async def check_health(self) -> None:
        """Raises if the replica is ill, and with it the process that holds it."""
        await self.replica.check_health()

    def call(self, method: str, *args: object) -> Awaitable[Any]:
        return asyncio.ensure_future(getattr(self.replica, method)(*args))

    def stream(self, method: str, *args: object) -> AsyncIterator[Any]:
        return InlineStream(getattr(self.replica, method)(*args))

    def cancel(self, response: Any) -> None:
        response.cancel()


@dataclass(eq=False)
class InlineStream:
    """What the replica yields."""

    items: AsyncGenerator[Any, None]
    _closing: "asyncio.Task[None] | None" = field(default=None, init=False)  # owned here, until it is done

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self.items)

    def cancel(self) -> None:
        """The replica leaves the stream, which frees what it holds."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self.items.aclose())
