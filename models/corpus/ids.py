"""Identifiers that are the same on every machine and on every try."""

import hashlib
import json
import secrets

_HEX_DIGITS = 24  # 96 bits


def stable_id(prefix: str, *parts: str | int) -> str:
    """`prefix` and 24 hex digits of the SHA-256 of `parts`, which are kept apart by their JSON."""
    return prefix + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_HEX_DIGITS]


def random_id(prefix: str) -> str:
    """`prefix` and 24 hex digits that nobody can guess."""
    return prefix + secrets.token_hex(_HEX_DIGITS // 2)
