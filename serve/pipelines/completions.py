"""Finished files on their way to the database: those that finish during a transaction share the next one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from models.corpus.completion import Completion
from models.corpus.jobs import Jobs

# A transaction of so many chunks takes about 0.2 s, during which no other process can write.
MAX_CHUNKS = 2_000


@dataclass(eq=False)
class WaitingFile:
    """A finished file, and the future that is done when it is stored."""

    completion: Completion
    stored: asyncio.Future[None]


class Completions:
    """Stores finished files, several in a transaction: a commit costs as much for fifty as for one.

    The first file is stored at once. Belongs to one event loop.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._waiting: list[WaitingFile] = []
        self._storing: asyncio.Task[None] | None = None

    async def store(self, completion: Completion) -> None:
        """Return when the file is stored durably. Raises the file's own error, as Jobs.complete does."""
        file = WaitingFile(completion, asyncio.get_running_loop().create_future())
        self._waiting.append(file)
        if self._storing is None or self._storing.done():
            self._storing = asyncio.get_running_loop().create_task(self._store_all())
        await file.stored

    async def _store_all(self) -> None:
        while group := self._next_group():
            errors: Sequence[Exception | None]
            try:
                errors = await asyncio.to_thread(self._jobs.complete_all, [file.completion for file in group])
            except Exception as error:  # noqa: BLE001, the error goes to the callers, who wait for it
                errors = [error] * len(group)
            for file, failure in zip(group, errors, strict=True):
                _settle(file.stored, failure)

    def _next_group(self) -> list[WaitingFile]:
        """The files of the next transaction, in order of their ends. The files of callers who left are dropped."""
        waiting = [file for file in self._waiting if not file.stored.done()]
        group, num_chunks = list[WaitingFile](), 0
        for file in waiting:
            num_chunks += len(file.completion.chunks)
            if group and num_chunks > MAX_CHUNKS:
                break
            group.append(file)
        self._waiting = waiting[len(group) :]
        return group


def _settle(stored: asyncio.Future[None], failure: Exception | None) -> None:
    if stored.done():  # its caller has left
        return
    if failure is None:
        stored.set_result(None)
    else:
        stored.set_exception(failure)
