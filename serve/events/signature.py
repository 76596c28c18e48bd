"""Signatures of webhooks, as in Standard Webhooks 1.0.0: https://www.standardwebhooks.com."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from pydantic import SecretStr

from models.errors.configuration import ConfigError

SECRET_PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)  # the standard's bounds
VARIABLE = "RAGSERVE_WEBHOOK_SECRET"


def read_secrets(secret: SecretStr | None) -> tuple[bytes, ...]:
    """The keys of `whsec_…` secrets, separated by spaces: several while a secret is replaced.

    Raises ConfigError, which never contains a secret.
    """
    texts = [] if secret is None else secret.get_secret_value().split()
    if not texts:
        raise ConfigError("events.webhook", f"needs a secret; set the environment variable {VARIABLE}")
    return tuple(_key(text) for text in texts)


def sign(keys: Sequence[bytes], event_id: str, timestamp_s: int, body: bytes) -> str:
    """The header `webhook-signature`: a signature of id, time and body for each key."""
    signed = f"{event_id}.{timestamp_s}.".encode() + body
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        sizes = f"{SECRET_BYTES[0]} to {SECRET_BYTES[-1]}"
        message = f"{VARIABLE} has an invalid secret: write {SECRET_PREFIX} and the base64 of {sizes} random bytes"
        raise ConfigError("events.webhook", message)
    return key
