"""Pauses between attempts: exponential, with jitter, so that what failed together is not tried together again."""

import random

MAX_DOUBLINGS = 30  # beyond any limit of configuration


def backoff_s(first_s: float, number: int, longest_s: float, jitter: float | None = None) -> float:
    """The pause after failure `number`, counted from 1, in seconds: half of it fixed, half random.

    It doubles from `first_s` up to `longest_s`. `jitter`, 0 to 1, is drawn if it is None.
    """
    pause_s = min(longest_s, first_s * 2.0 ** min(number - 1, MAX_DOUBLINGS))
    return pause_s * (1 + (random.random() if jitter is None else jitter)) / 2
