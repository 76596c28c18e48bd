"""What Ray reads from the environment, set on purpose. Apply before Ray is imported; imports nothing of Ray itself."""

import os
import random
import socket

# A message between stages carries a whole file, or its text and chunks. Ray's default of 4 MiB would refuse most books.
# This is the most that gRPC can express; api.max_upload_bytes, at most 512 MiB, bounds what a message really holds.
MAX_MESSAGE_BYTES = 2**31 - 1
SETTINGS = {
    # Always chosen, never left to ray.init(): its own choice is token auth that tools then have no token for.
    "RAY_AUTH_MODE": "token",
    # HAProxy in front, and user code on the replica's own loop: a hop between stages then costs less CPU.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
    # Throughput mode would hold back a thousand log lines; warnings are few, and wanted at once.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # No reports of usage from a machine that may have no network.
    "RAY_USAGE_STATS_ENABLED": "0",
    # A tokenizer's own threads fight over the cores that each replica was given.
    "TOKENIZERS_PARALLELISM": "false",
}
# Where this process starts Ray and ends it: Ray starts on purpose, never by a call that finds none. One of Serve's
# threads makes such a call while Ray is shut down, and the two wait for each other for good.
OWN_RAY = {"RAY_ENABLE_AUTO_CONNECT": "0"}
# Two services on one machine must not meet. HAProxy listens on the first two for its own pages, and sends requests to
# the fallback proxy until a replica of the ingress is there, and then to that, on a port of the range. Serve's own
# are the same for every service, and two proxies share one in silence: a question then goes to the other service.
HAPROXY_PORTS = (
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)
INGRESS_PORTS = ("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT")
OWN_PORTS = (*HAPROXY_PORTS, *INGRESS_PORTS)
# Above the ports of Ray's workers, below those that Linux gives to clients: one of those may be taken again by the time
# that HAProxy starts. A service has a range of its own, the replicas of its ingress the first ports of it.
FIRST_PORT, LAST_PORT, RANGE = 20_000, 32_000, 100
LAST_CLIENT_PORT, LAST_TCP_PORT = 60_999, 65_535
INGRESS_RANGE = RANGE - len(HAPROXY_PORTS)


def apply() -> None:
    """Sets what is not set: an operator's own choice stands."""
    for name, value in (SETTINGS | OWN_RAY).items():
        os.environ.setdefault(name, value)
    first = free_range()
    for number, name in enumerate(HAPROXY_PORTS):
        os.environ.setdefault(name, str(first + INGRESS_RANGE + number))
    if not any(name in os.environ for name in INGRESS_PORTS):
        os.environ.update(zip(INGRESS_PORTS, (str(first), str(first + INGRESS_RANGE - 1)), strict=True))


def free_range() -> int:
    """The first port of a range where nobody listens, neither as an ingress' first replica nor as HAProxy."""
    ranges = list(range(FIRST_PORT, LAST_PORT, RANGE))
    random.shuffle(ranges)
    return next((first for first in ranges if _is_free_range(first)), FIRST_PORT)


def _is_free_range(first: int) -> bool:
    return all(is_free("127.0.0.1", first + offset) for offset in (0, INGRESS_RANGE))


def free_port() -> int:
    """A TCP port of the loopback address that was free a moment ago, and that Linux gives to no client meanwhile."""
    ports = range(LAST_CLIENT_PORT + 1, LAST_TCP_PORT)
    return next(port for port in random.sample(ports, len(ports)) if is_free("127.0.0.1", port))


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there. HAProxy shares its port in silence, so two services would halve each other."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
