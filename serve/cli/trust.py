"""Whose certificates the commands trust."""

import os
import ssl
from pathlib import Path

import httpx

from deployments.cluster.haproxy import TLS_CERTIFICATE
from models.errors.configuration import ConfigError

CA_VARIABLE = "RAGSERVE_CA_FILE"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def trust(url: str) -> ssl.SSLContext | bool:
    """How httpx checks the service's certificate. Raises ConfigError.

    On the machine of the service, with its TLS_CERTIFICATE, that certificate alone is accepted, whatever its name:
    one for rag.example.com does not name 127.0.0.1.
    """
    own, authority = os.environ.get(TLS_CERTIFICATE), os.environ.get(CA_VARIABLE)
    if own and httpx.URL(url).host in LOOPBACK:
        context = _context(TLS_CERTIFICATE, Path(own))
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the authority is not in the file
        return context
    return _context(CA_VARIABLE, Path(authority)) if authority else True


def _context(variable: str, path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ConfigError(variable, f"{path} has no certificate in PEM format") from None
    except OSError as error:
        raise ConfigError(variable, f"{path} cannot be read: {error.strerror}") from None
