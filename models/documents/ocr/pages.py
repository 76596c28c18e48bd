"""Counts the pages of one uploaded file whose text was recognized, whatever archive or mail they are in."""

import math
import resource
import time
from contextvars import ContextVar

PAGE_CPU_S = 25  # twice what a full page takes: docs/benchmarks.md#recognition-of-text
_num_recognized = ContextVar("num_recognized", default=0)
_first_page_at = ContextVar("first_page_at", default=math.inf)  # on the clock of time.monotonic


def begin_file() -> None:
    """The next pages belong to another uploaded file."""
    _num_recognized.set(0)
    _first_page_at.set(math.inf)


def take_page(max_pages: int, max_s: float) -> bool:
    """Whether one more page may be recognized. It then counts, and brings its own CPU time.

    No page begins later than `max_s` after the file's first one: a parse that ran out of time would lose them all.
    """
    num_recognized, now = _num_recognized.get(), time.monotonic()
    if num_recognized >= max_pages or now - _first_page_at.get() > max_s:
        return False
    _num_recognized.set(num_recognized + 1)
    if not num_recognized:
        _first_page_at.set(now)
    _allow_cpu(PAGE_CPU_S)
    return True


def _allow_cpu(seconds: int) -> None:
    """Raise the limit of this process, if it has one: that of a file without recognized pages is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if soft != resource.RLIM_INFINITY:
        higher = soft + seconds if hard == resource.RLIM_INFINITY else min(soft + seconds, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (higher, hard))
