"""Identifiers: stable ones from content, and random ones."""

import hashlib
import json
import secrets

_HEX_DIGITS = 24  # 96 bits


def stable_id(prefix: str, *parts: str | int) -> str:
    """Return `prefix` and 24 hex digits of the SHA-256 of `parts` as JSON: the same on every machine."""
    return prefix + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_HEX_DIGITS]


def random_id(prefix: str) -> str:
    """Return `prefix` and 24 hex digits that cannot be guessed."""
    return prefix + secrets.token_hex(_HEX_DIGITS // 2)
