"""Our log lines in Serve's log of the replica: one file a replica, each line with its request's id."""

import logging

SERVE_LOGGER = "ray.serve"
OUR_LOGGERS = ("serve", "deployments", "models", "ragserve")


def join_serve_log() -> None:
    """Call this first in a replica. Otherwise Serve treats our warnings as prints at INFO, and drops them."""
    for name in OUR_LOGGERS:
        logger = logging.getLogger(name)
        logger.parent = logging.getLogger(SERVE_LOGGER)
        logger.propagate = True
