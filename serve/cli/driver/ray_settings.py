"""Ray's environment for a benchmark. Imports nothing of Ray: apply it before Ray is imported."""

import os

from deployments.cluster import environment

# Otherwise a replica without clients drains for half a minute.
NO_DRAINING = {"RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0"}


def apply(**settings: str) -> None:
    """The service's own settings, no draining, and these."""
    environment.apply()
    os.environ.update(NO_DRAINING | settings)
