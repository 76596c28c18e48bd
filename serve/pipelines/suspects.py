"""Who is to blame when a stage dies: the call that was alone in it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.errors import StageUnavailableError

T = TypeVar("T")


class Suspects:
    """Sends a call again by itself if its stage died. Belongs to one event loop.

    A stage that dies takes the calls of many files with it, and none of them need be the cause: its node may have run
    out of memory. Each call is then sent again, one after the other, so that only a call that kills the stage again
    fails. The files of the other calls keep their attempts, and the work done for them.
    """

    def __init__(self) -> None:
        self._alone = asyncio.Lock()

    async def call(self, work: Callable[[], Awaitable[T]], is_suspect: bool = False) -> T:
        """The result of `work`. A suspect has failed before, and goes by itself at once.

        Raises StageUnavailableError if the stage died during the lone call, and the other errors of `work`.
        """
        if not is_suspect:
            try:
                return await work()
            except StageUnavailableError:
                pass
        async with self._alone:
            return await work()
