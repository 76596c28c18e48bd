"""The service's caches in a benchmark: switched off for what must be computed, and their hits where they are on."""

import copy
import re
from collections.abc import Mapping
from typing import Any

import httpx

from serve.caching.config import LEVELS

METRIC = re.compile(r'ragserve_cache_(hits|misses)_total\{[^}]*level="(\w+)"[^}]*tier="memory"[^}]*\} (\S+)')
TIMEOUT_S = 60.0


def without_caches(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment file with every cache of answers, retrieval and embeddings switched off."""
    changed = copy.deepcopy(dict(raw))
    off = {level: {"enabled": False} for level in LEVELS}
    application = changed["applications"][0]
    application.setdefault("args", {})["cache"] = off
    for deployment in application["deployments"]:
        if deployment["name"] == "Ingress":
            deployment["user_config"] = (deployment.get("user_config") or {}) | {"cache": off}
    return changed


def cache_counts(url: str) -> dict[str, tuple[int, int]]:
    """Hits and misses of each cache so far, in the memory of the ingress that answers."""
    text = httpx.get(f"{url}/metrics", timeout=TIMEOUT_S, trust_env=False).raise_for_status().text
    return counts_of(text)


def counts_of(metrics: str) -> dict[str, tuple[int, int]]:
    """As `cache_counts`, from the text of /metrics. A cache that was never called is absent."""
    counts: dict[str, dict[str, int]] = {}
    for kind, level, value in METRIC.findall(metrics):
        counts.setdefault(level, {})[kind] = int(float(value))
    return {level: (kinds.get("hits", 0), kinds.get("misses", 0)) for level, kinds in counts.items()}


def describe_hits(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> str:
    """The hit rate of each cache in between."""
    rates = []
    for level, (hits, misses) in after.items():
        old_hits, old_misses = before.get(level, (0, 0))
        num_calls = hits - old_hits + misses - old_misses
        if num_calls:
            rates.append(f"{level} {(hits - old_hits) / num_calls:.1%} of {num_calls:,}")
    return f"hits: {', '.join(rates)}" if rates else ""
