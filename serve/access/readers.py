"""Documents with readers: attributes such as `reader:group:hr: true` say who may read a file in a vector store."""

from collections.abc import Iterable

from models.corpus.database import is_storable
from models.corpus.store_files import MAX_ATTRIBUTE_KEY_CHARS
from models.filters import MAX_COMPARISONS, Comparison, Compound, Filter

PREFIX = "reader:"
EVERYONE = "everyone"


def readers_of(user: str, groups: Iterable[object]) -> frozenset[str]:
    """The names of a user. Those that no attribute can have, and those beyond what a filter holds, are left out."""
    texts = (group for group in groups if isinstance(group, str) and is_storable(group))
    names = [EVERYONE, f"user:{user}", *(f"group:{group}" for group in texts)]
    fitting = [name for name in dict.fromkeys(names) if len(PREFIX + name) <= MAX_ATTRIBUTE_KEY_CHARS]
    return frozenset(fitting[:MAX_COMPARISONS])


def readable_filter(readers: frozenset[str]) -> Filter:
    """What a file's attributes must have: one of the names. A file without any has no readers."""
    return Compound("or", tuple(Comparison("eq", PREFIX + name, True) for name in sorted(readers)))
