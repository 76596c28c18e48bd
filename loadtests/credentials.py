"""The API key of the users, as the command line reads it."""

import os

from serve.cli.remote import KEY_VARIABLE


def authorization() -> dict[str, str]:
    """The header with the key of the environment; none without one."""
    key = os.environ.get(KEY_VARIABLE)
    return {"authorization": f"Bearer {key}"} if key else {}
