"""What each replica does first: its own port is kept to its node's address, and its telemetry starts."""

import logging
from typing import Any

from ray._common.tls_utils import add_port_to_grpc_server
from ray._raylet import build_address  # type: ignore[attr-defined]
from ray.serve._private import replica
from ray.util import get_node_ip_address

from deployments.cluster import environment
from deployments.telemetry.start import start_telemetry

logger = logging.getLogger(__name__)


def start_replica(stage: str) -> None:
    """Call this first in a replica."""
    keep_port_to_node()
    start_telemetry(stage)


def keep_port_to_node() -> None:
    """Let the gRPC server that Serve starts after the replica's constructor listen on its node's address alone.

    The other replicas call it there: on this machine alone under `ragserve up`, at the pod's address on Kubernetes.
    Serve itself would listen on every address, and has no setting. Source: ray 2.60, serve/_private/replica.py,
    _on_initialized.
    """
    vars(replica)[add_port_to_grpc_server.__name__] = add_port_of_node


def add_port_of_node(server: Any, address: str) -> int:
    """Add `address`' port to the server, at the node's address; the port. A node behind NAT cannot: it keeps `address`.

    TLS is as Ray's variables say.
    """
    node: str = get_node_ip_address()  # type: ignore[no-untyped-call]
    port = address.rpartition(":")[2]
    if error := environment.why_not(node, 0):
        logger.warning(
            "the replica listens on every address, as the node's, %s, is not this machine's: %s", node, error
        )
    else:
        address = build_address(node, port)
    return int(add_port_to_grpc_server(server, address))  # type: ignore[no-untyped-call]
