"""Orders of passages that `ragserve bench prefix` compares with the configurable ones."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from models.generation.passage_order import PassageOrder, PopularityOrder, RelevanceOrder
from models.types.scope import Scope

Prefix = tuple[int, ...]


class KeyOrder:
    """By key: the same passages are always in the same order, popular or not."""

    def arrange(self, scope: Scope, keys: Sequence[int]) -> tuple[int, ...]:
        return tuple(sorted(range(len(keys)), key=keys.__getitem__))


class SharedPrefixOrder:
    """First the longest prefix of a recent prompt that the passages can form, then the others by popularity.

    It remembers the last `num_prefixes` prefixes. The ideal is as many as the engine has cached, which is unknown.
    The idea is ContextPilot's (arXiv 2511.03475).
    """

    def __init__(self, num_prefixes: int) -> None:
        self._popularity = PopularityOrder()
        self._num_prefixes = num_prefixes
        self._recent: OrderedDict[Prefix, None] = OrderedDict()

    def arrange(self, scope: Scope, keys: Sequence[int]) -> tuple[int, ...]:
        popular_first = [keys[place] for place in self._popularity.arrange(scope, keys)]
        shared = self._longest((), popular_first)
        ordered = (*shared, *(key for key in popular_first if key not in shared))
        self._remember(ordered)
        return tuple(keys.index(key) for key in ordered)

    def _longest(self, prefix: Prefix, keys: Sequence[int]) -> Prefix:
        """The longest recent continuation of `prefix` by `keys`; if several are as long, the one of the first key."""
        longer = [(*prefix, key) for key in keys if key not in prefix and (*prefix, key) in self._recent]
        return max((self._longest(candidate, keys) for candidate in longer), key=len, default=prefix)

    def _remember(self, ordered: Prefix) -> None:
        for length in range(len(ordered), 0, -1):
            self._recent[ordered[:length]] = None
            self._recent.move_to_end(ordered[:length])
        while len(self._recent) > self._num_prefixes:
            self._recent.popitem(last=False)


# 200,000 tokens of this trace are about 300 prefixes.
ORDERS: dict[str, Callable[[], PassageOrder]] = {
    "relevance": RelevanceOrder,
    "key": KeyOrder,
    "popularity": PopularityOrder,
    "shared prefix, 300": lambda: SharedPrefixOrder(300),
    "shared prefix, 3,000": lambda: SharedPrefixOrder(3_000),
}
