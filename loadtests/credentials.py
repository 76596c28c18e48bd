"""The API key of the users, as the command line reads it."""

from serve.cli.service_address import key_headers


def authorization() -> dict[str, str]:
    """The header with the key of the environment; none without one. Raises ConfigError for what is no key."""
    return key_headers()
