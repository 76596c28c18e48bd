"""Who is to blame when a stage dies: the call that was alone in it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.deadline import Deadline
from models.errors.stages import DeadlineExceededError, InternalError, StageDownError, StageUnavailableError
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext
from serve.pipelines.stages import StatusSource

T = TypeVar("T")

PROBE_S = 10.0  # a stage on a loaded machine answers late


class Suspects:
    """Sends a call again by itself if its stage died. Belongs to one event loop.

    A stage that dies takes the calls of many files with it, and none of them need be the cause: its node may have run
    out of memory. Each call is then sent again, one after the other, so that only a call that kills the stage again
    fails. The files of the other calls keep their attempts, and the work done for them. A call is not sent alone to a
    stage that does not answer: that would say nothing about the call.
    """

    def __init__(self) -> None:
        self._alone = asyncio.Lock()

    async def call(self, work: Callable[[], Awaitable[T]], stage: StatusSource, is_suspect: bool = False) -> T:
        """The result of `work`, which calls `stage`. A suspect has failed before, and goes by itself at once.

        Raises StageUnavailableError if the stage died during the lone call, StageDownError if it was down before, and
        the other errors of `work`.
        """
        if not is_suspect:
            try:
                return await work()
            except StageDownError:
                raise
            except StageUnavailableError:
                pass
        async with self._alone:
            await check_up(stage)
            return await work()


async def check_up(stage: StatusSource) -> None:
    """Raises StageDownError if no replica of the stage answers."""
    try:
        await stage.status(RequestContext("probe", "", Deadline.after(PROBE_S), BACKGROUND_PRIORITY))
    except (StageUnavailableError, DeadlineExceededError, InternalError) as error:
        raise StageDownError(error.stage) from None
