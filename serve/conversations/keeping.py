"""Writes that an answer can do without: what they keep only saves time later."""

import asyncio
import logging
from collections.abc import Callable

from models.errors.storage import STORAGE_ERRORS

KEEP_S = 5.0  # of an answer for such a write; it then goes on beside the answer
logger = logging.getLogger(__name__)
_writes: set[asyncio.Task[None]] = set()  # owned here until they end


async def keep(write: Callable[[], object]) -> None:
    """Wait for a write that blocks, for KEEP_S at most. A storage that takes none, or is late, fails no answer."""
    task = asyncio.create_task(_written(write))
    _writes.add(task)
    task.add_done_callback(_writes.discard)
    await asyncio.wait({task}, timeout=KEEP_S)


async def _written(write: Callable[[], object]) -> None:
    try:
        await asyncio.to_thread(write)
    except STORAGE_ERRORS as error:
        logger.warning("what is remembered is computed again next time: %s", error)
