"""The Origin of a browser's request. A page that a browser loads elsewhere must not reach the service at its user's.

DNS rebinding makes such a page's own host resolve to 127.0.0.1, so the Host header proves nothing.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from models.errors import ForbiddenError

ANY = "*"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def check_origin(origin: str | None, allowed: Sequence[str]) -> None:
    """Raises ForbiddenError. Programs send no Origin; a page of this machine is always allowed."""
    if origin is None or ANY in allowed or origin in allowed or _is_local(origin):
        return
    raise ForbiddenError(f"the origin {origin[:200]!r} is not allowed; add it to api.mcp_origins")


def _is_local(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.hostname in LOCAL_HOSTS
    except ValueError:  # such as http://[
        return False
