"""How many replicas the messages of this process may go to.

A module of its own: Serve copies a router's module into each process by value, and this one by its name.
"""

_counts: dict[str, int] = {}  # by deployment


def note_replicas(deployment: str, num_replicas: int) -> None:
    """A router calls this whenever replicas come or go."""
    _counts[deployment] = num_replicas


def num_replicas(deployment: str) -> int:
    """0 before the first message to the deployment."""
    return _counts.get(deployment, 0)
