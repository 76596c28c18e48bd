"""What Ray reads from the environment, set on purpose. Apply before Ray is imported; imports nothing of Ray itself."""

import os
import socket

SETTINGS = {
    # Always chosen, never left to ray.init(): its own choice is token auth that tools then have no token for.
    "RAY_AUTH_MODE": "token",
    # HAProxy in front, and user code on the replica's own loop: a hop between stages then costs less CPU.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Throughput mode would hold back a thousand log lines; warnings are few, and wanted at once.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # No reports of usage from a machine that may have no network.
    "RAY_USAGE_STATS_ENABLED": "0",
    # A tokenizer's own threads fight over the cores that each replica was given.
    "TOKENIZERS_PARALLELISM": "false",
}
# HAProxy listens on these for its own pages: two services on one machine must not meet there.
HAPROXY_PORTS = ("RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT")


def apply() -> None:
    """Sets what is not set: an operator's own choice stands."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in HAPROXY_PORTS:
        os.environ.setdefault(name, str(free_port()))


def free_port() -> int:
    """A TCP port of the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there. HAProxy shares its port in silence, so two services would halve each other."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
