"""The memory that files under way may take together."""

import asyncio
from contextlib import AsyncExitStack

from serve.pipelines.ingest_memory import CHUNK_BYTES, SMALL_CHUNKS, IngestMemory
from tests.patience import PATIENCE_S

LARGE = SMALL_CHUNKS + 1
ROOM = 3 * LARGE * CHUNK_BYTES


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Files:
    """Files that take memory until they are told to end."""

    def __init__(self, memory: IngestMemory) -> None:
        self._memory, self._ends = memory, dict[int, asyncio.Event]()
        self.begun: list[int] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def begin(self, number: int, num_chunks: int) -> None:
        self._ends[number] = asyncio.Event()
        self.tasks[number] = asyncio.create_task(self._run(number, num_chunks))
        await turns()

    async def end(self, number: int) -> None:
        self._ends[number].set()
        await self.tasks[number]
        await turns()

    async def _run(self, number: int, num_chunks: int) -> None:
        async with self._memory.of(num_chunks, has_tokens=True):
            self.begun.append(number)
            await self._ends[number].wait()


async def test_a_file_waits_until_there_is_room_for_it() -> None:
    files = Files(IngestMemory(ROOM))
    await files.begin(1, 2 * LARGE)
    await files.begin(2, 2 * LARGE)
    assert files.begun == [1]

    await files.end(1)

    assert files.begun == [1, 2]
    await files.end(2)


async def test_the_first_of_those_that_wait_is_not_overtaken() -> None:
    files = Files(IngestMemory(ROOM))
    for number, num_chunks in enumerate((2 * LARGE, 2 * LARGE, LARGE), 1):
        await files.begin(number, num_chunks)
    assert files.begun == [1]

    await files.end(1)

    assert files.begun == [1, 2, 3]
    await files.end(2)
    await files.end(3)


async def test_a_file_larger_than_the_budget_has_it_alone() -> None:
    files = Files(IngestMemory(ROOM))
    await files.begin(1, 100 * LARGE)
    await files.begin(2, LARGE)
    assert files.begun == [1]

    await files.end(1)

    assert files.begun == [1, 2]
    await files.end(2)


async def test_small_files_do_not_wait() -> None:
    memory = IngestMemory(ROOM)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(memory.of(100 * LARGE, has_tokens=True))

        await asyncio.wait_for(stack.enter_async_context(memory.of(SMALL_CHUNKS, has_tokens=True)), PATIENCE_S)


async def test_a_file_that_leaves_while_it_waits_takes_nothing() -> None:
    files = Files(IngestMemory(ROOM))
    await files.begin(1, 3 * LARGE)
    await files.begin(2, LARGE)
    files.tasks[2].cancel()
    await files.begin(3, 3 * LARGE)

    await files.end(1)

    assert files.begun == [1, 3]
    await files.end(3)


async def test_a_larger_budget_lets_the_next_file_in() -> None:
    memory = IngestMemory(ROOM)
    files = Files(memory)
    await files.begin(1, 3 * LARGE)
    await files.begin(2, 3 * LARGE)

    memory.resize(2 * ROOM)
    await turns()

    assert files.begun == [1, 2]
    await files.end(1)
    await files.end(2)
