"""Connections to servers that a change of the configuration left."""

from typing import NoReturn, Protocol

from serve.pipelines.wakeup import LONGEST_WAIT_S, Wakeup


class Connection(Protocol):
    async def close(self) -> None:
        """End it. Called once."""


class RetiredConnections:
    """Closes what nobody uses any more, at once. Belongs to one event loop."""

    def __init__(self) -> None:
        self._connections: list[Connection] = []
        self._added = Wakeup()

    def add(self, connection: Connection) -> None:
        self._connections.append(connection)
        self._added.set()

    async def run(self) -> NoReturn:
        """Runs until cancelled."""
        while True:
            await self.close()
            await self._added.wait(LONGEST_WAIT_S)

    async def close(self) -> None:
        while self._connections:
            await self._connections.pop().close()
