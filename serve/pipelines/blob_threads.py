"""Threads of their own for uploaded content: storage that hangs keeps them, and none that a question needs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

BLOB_THREADS = 16
_POOL = ThreadPoolExecutor(BLOB_THREADS, "blobs")
P = ParamSpec("P")
T = TypeVar("T")


async def in_blob_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As asyncio.to_thread, for a call that reads or writes uploaded content. Further ones wait for a thread."""
    run = partial(copy_context().run, call, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_POOL, run)
