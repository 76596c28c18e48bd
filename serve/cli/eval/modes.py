"""The search modes to measure, each with its request body."""

from models.errors.requests import InvalidRequestError
from models.errors.suggestions import did_you_mean
from serve.cli.driver.evaluated_service import SearchBody

# A near-duplicate of a relevant document is relevant too, so only the modes that clients get by default remove it.
MODES: dict[str, SearchBody] = {
    "bm25": {"mode": "lexical", "ranking_options": {"ranker": "none", "dedup": False}},
    "dense": {"mode": "dense", "ranking_options": {"ranker": "none", "dedup": False}},
    "rrf": {"mode": "hybrid", "ranking_options": {"ranker": "none", "dedup": False, "fusion": "rrf"}},
    "hybrid": {"mode": "hybrid", "ranking_options": {"ranker": "none", "dedup": False, "fusion": "min_max"}},
    "reranked": {"mode": "hybrid", "ranking_options": {"ranker": "auto", "dedup": False, "fusion": "min_max"}},
    "auto": {"mode": "auto", "ranking_options": {"ranker": "auto"}},
    "default": {},  # without options
}
DEFAULT_MODES = ("bm25", "dense", "rrf", "hybrid", "reranked")
# The modes that a mode combines; it must not be worse than they are.
PARENTS = {"hybrid": ("bm25", "dense"), "reranked": ("hybrid",), "auto": ("hybrid",), "default": ("hybrid",)}


def parse_modes(text: str) -> tuple[str, ...]:
    """The modes of a comma-separated list. Raises InvalidRequestError."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InvalidRequestError(f"no mode given{did_you_mean('', MODES)}", "modes")
    for name in names:
        if name not in MODES:
            raise InvalidRequestError(f"no mode named {name!r}{did_you_mean(name, MODES)}", "modes")
    return names
