"""A limit on retries: while everything fails, retries must not multiply the load."""

import threading

SHARE = 0.1  # retries for each request
BURST = 64.0  # retries at once, when many requests lose the same replica


class RetryBudget:
    """Each request adds SHARE of a retry, and each retry takes one; BURST are there at first, and no more are kept.

    For callers in any thread. Source: gRPC's retry throttling, gRFC A6; Finagle's RetryBudget.
    """

    def __init__(self, share: float = SHARE, burst: float = BURST) -> None:
        self._share, self._burst, self._left = share, burst, burst
        self._lock = threading.Lock()

    def add_request(self) -> None:
        with self._lock:
            self._left = min(self._burst, self._left + self._share)

    def take(self) -> bool:
        """Whether a retry may be sent; it is counted then."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True
