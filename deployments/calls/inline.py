"""A stage inside the process that calls it: the same class and the same client, without the hop.

Right for small CPU stages, laptops and edge nodes. The stage then scales with its caller, shares its process and its
event loop, and a change of its config restarts the application.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class InlineStage:
    """Replaces a bound deployment in the graph: the replica's class, its arguments, its user_config."""

    kind: type
    arguments: tuple[Any, ...]
    user_config: dict[str, Any]

    def open(self) -> "InlineHandle":
        """Make the replica in this process. Call `start` before any other method."""
        return InlineHandle(self.kind(*self.arguments), self.user_config)


@dataclass(frozen=True)
class InlineHandle:
    """A replica in this process. Satisfies Handle. Belongs to one event loop."""

    replica: Any
    user_config: dict[str, Any]

    @property
    def is_inline(self) -> bool:
        return True

    @property
    def num_replicas(self) -> int:
        return 1

    async def start(self) -> None:
        """Load the replica's model. Raises what `reconfigure` raises, for which Serve would stop a replica."""
        await self.replica.reconfigure(self.user_config)

    async def check_health(self) -> None:
        """Raises if the replica is unhealthy; its process is then unhealthy too."""
        await self.replica.check_health()

    def call(self, method: str, *args: object) -> Awaitable[Any]:
        return asyncio.ensure_future(getattr(self.replica, method)(*args))

    def stream(self, method: str, *args: object) -> AsyncIterator[Any]:
        return InlineStream(getattr(self.replica, method)(*args))

    def cancel(self, response: Any) -> None:
        response.cancel()


@dataclass(eq=False)
class InlineStream:
    """The items of a replica's stream."""

    items: AsyncGenerator[Any, None]
    _closing: "asyncio.Task[None] | None" = field(default=None, init=False)  # owned here until it is done

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self.items)

    def cancel(self) -> None:
        """Close the replica's generator, which frees its resources."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self.items.aclose())
