"""The address and the key of a service, as an operator typed them: checked before anything is sent."""

import os

import httpx

from models.errors.configuration import ConfigError

KEY_VARIABLE = "RAGSERVE_API_KEY"
URL_OPTION = "--url"
EXAMPLE = "http://127.0.0.1:8000"
LAST_PORT = 65_535


def base_url(url: str) -> str:
    """The service's address without `/v1`, which OpenAI's clients need. Raises ConfigError."""
    return checked_address(url, URL_OPTION).rstrip("/").removesuffix("/v1")


def checked_address(address: str, option: str) -> str:
    """`address` without spaces around it. Raises ConfigError that names `option`, and shows no password."""
    address = address.strip()
    parts = _parsed(address, option)
    if parts.userinfo:
        raise ConfigError(option, f"must have no user name and no password; the key comes from {KEY_VARIABLE}")
    if parts.scheme not in ("http", "https") or not parts.host:
        hint = f"; did you mean 'http://{address}'?" if address and "://" not in address else ""
        raise ConfigError(option, f"{address!r} must be an address such as {EXAMPLE}{hint}")
    if parts.port is not None and not 1 <= parts.port <= LAST_PORT:
        raise ConfigError(option, f"{address!r} has port {parts.port}; a port is from 1 to {LAST_PORT}")
    return address


def key_headers() -> dict[str, str]:
    """The header with the key of KEY_VARIABLE, if it is set. Raises ConfigError that does not show it."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= character <= "~" for character in key):
        raise ConfigError(KEY_VARIABLE, "has a space, a line break or a letter that no key has; copy the key again")
    return {"authorization": f"Bearer {key}"} if key else {}


def _parsed(address: str, option: str) -> httpx.URL:
    try:
        parts = httpx.URL(address)
        parts.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError) as error:
        shown = repr(address) if "@" not in address else "the value"
        raise ConfigError(option, f"{shown} is not a URL such as {EXAMPLE}: {error}") from None
    return parts
