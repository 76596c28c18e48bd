"""How a caller reaches a stage: through Ray (ray_handle.py), or inside its own process (inline.py)."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol


class Handle(Protocol):
    """A stage's replicas, any of which may answer. Belongs to one event loop."""

    @property
    def is_inline(self) -> bool:
        """Whether the replica is in the caller's process: a message then costs nothing, so calls need not share one."""

    @property
    def num_replicas(self) -> int:
        """That may answer, as far as this process knows; 0 before it knows."""

    def call(self, method: str, *args: object) -> Awaitable[Any]:
        """Send a message at once, and return its answer to await. The answer raises what the replica raised."""

    def stream(self, method: str, *args: object) -> AsyncIterator[Any]:
        """Send a message at once, and return the replica's items to iterate. They raise what the replica raised."""

    def cancel(self, response: Any) -> None:
        """Stop the replica's work on a response of `call` or `stream`. A caller that leaves must call this."""
