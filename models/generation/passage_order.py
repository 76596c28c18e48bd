"""The order of the passages in a prompt. An order that repeats across requests makes an engine's prefix cache useful.

An engine reuses its computation for the common beginning of two prompts. Ordered by relevance, the prompts of two
questions about the same documents seldom begin alike. With popular passages first, they often do. Measured in
docs/prompts.md.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Literal, Protocol

from models.types.scope import Scope

OrderName = Literal["relevance", "popularity"]

# The best of 50, 200, 1,000 and 5,000, which are all within a tenth of it: see the trace in docs/prompts.md.
HALF_LIFE_REQUESTS = 1_000.0
# 200 bytes a passage (tracemalloc): 51 MB if every scope is full.
MAX_PASSAGES, MAX_SCOPES = 2_000, 128


class PassageOrder(Protocol):
    """Arranges the passages of consecutive requests. Safe to call from several threads."""

    def arrange(self, scope: Scope, keys: Sequence[int]) -> tuple[int, ...]:
        """The prompt's order, as places in `keys`, which are best first."""


class RelevanceOrder:
    """The most relevant passage first, as in `keys`."""

    def arrange(self, scope: Scope, keys: Sequence[int]) -> tuple[int, ...]:
        return tuple(range(len(keys)))


class PopularityOrder:
    """The passages that recent requests had most often first, ties by key.

    Each scope (a tenant's set of vector stores) counts its own requests, so tenants learn nothing about each other.
    """

    def __init__(self, half_life: float = HALF_LIFE_REQUESTS, max_scopes: int = MAX_SCOPES) -> None:
        self._half_life, self._max_scopes = half_life, max_scopes
        self._counts: OrderedDict[Scope, PassageCounts] = OrderedDict()
        self._lock = Lock()

    def arrange(self, scope: Scope, keys: Sequence[int]) -> tuple[int, ...]:
        with self._lock:
            counts = self._counts_of(Scope(scope.tenant, tuple(sorted(set(scope.vector_store_ids)))))
            counts.add(keys)
            return tuple(sorted(range(len(keys)), key=lambda place: (-counts.count(keys[place]), keys[place])))

    def _counts_of(self, scope: Scope) -> "PassageCounts":
        counts = self._counts.setdefault(scope, PassageCounts(self._half_life))
        self._counts.move_to_end(scope)
        if len(self._counts) > self._max_scopes:
            self._counts.popitem(last=False)
        return counts


class PassageCounts:
    """Counts the requests that had a passage. A request counts half after `half_life` further ones.

    Beyond `max_passages`, the passage that was requested least recently is dropped.
    """

    def __init__(self, half_life: float, max_passages: int = MAX_PASSAGES) -> None:
        self._half_life, self._max_passages = half_life, max_passages
        self._num_requests = 0
        self._last: OrderedDict[int, tuple[float, int]] = (
            OrderedDict()
        )  # key: its count at its last request, and that request's number

    def __len__(self) -> int:
        return len(self._last)

    def add(self, keys: Sequence[int]) -> None:
        """Counts one request."""
        self._num_requests += 1
        for key in keys:
            self._last[key] = (self.count(key) + 1, self._num_requests)
            self._last.move_to_end(key)
        while len(self._last) > self._max_passages:
            self._last.popitem(last=False)

    def count(self, key: int) -> float:
        count, request = self._last.get(key, (0.0, self._num_requests))
        return count * 0.5 ** ((self._num_requests - request) / self._half_life)


_ORDERS: dict[OrderName, type[RelevanceOrder] | type[PopularityOrder]] = {
    "relevance": RelevanceOrder,
    "popularity": PopularityOrder,
}


def passage_order(name: OrderName) -> PassageOrder:
    return _ORDERS[name]()
