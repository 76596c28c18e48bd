"""Replaces the certificate of a running HAProxy, by its admin socket. Open connections keep the old one."""

import os
import socket
from pathlib import Path

import ray

from deployments.cluster.haproxy import escaped
from models.errors.configuration import ConfigError

SOCKET = "RAY_SERVE_HAPROXY_SOCKET_PATH"
TIMEOUT_S = 30.0
ATTEMPTS = 6  # the supervisor of HAProxy waits 5 s for an answer
SUCCESS = "Success!"


def admin_socket() -> Path:
    """Of the HAProxy on this node: Serve gives each node a folder."""
    path = Path(os.environ[SOCKET])
    return path.parent / ray.get_runtime_context().get_node_id() / path.name


def renew_certificate(admin: Path, certificate: Path) -> None:
    """Serve what the file holds now to new connections. Raises ConfigError; HAProxy then keeps the old certificate."""
    try:
        for _ in range(ATTEMPTS):
            refusal, committed = _replace(admin, certificate)
            if committed:  # empty: HAProxy had no core to answer with
                break
    except OSError as error:
        refusal, committed = error.strerror or str(error), ""
    if SUCCESS not in committed:
        raise ConfigError(str(certificate), f"HAProxy did not take it: {' '.join(refusal.split()) or 'no answer'}")


def _replace(admin: Path, certificate: Path) -> tuple[str, str]:
    """HAProxy's answers to the new certificate and to its commit. A wrong one is not committed."""
    name = escaped(str(certificate))
    # An empty line would end the certificate.
    pem = "\n".join(line for line in certificate.read_text().splitlines() if line.strip())
    return _send(admin, f"set ssl cert {name} <<\n{pem}\n\n"), _send(admin, f"commit ssl cert {name}\n")


def _send(admin: Path, command: str) -> str:
    """One command a connection, which HAProxy ends after its answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(admin))
        connection.sendall(command.encode())
        with connection.makefile() as answer:
            return answer.read()
