"""The end of a message about a name that is unknown."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, valid_names: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the most similar valid name, or all valid names."""
    names = list(valid_names)
    nearest = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; it is one of {', '.join(names)}"
