"""The certificate of `ragserve up` with TLS: checked before Ray starts, and replaced in HAProxy when it is renewed."""

import os
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from rich.console import Console

from deployments.cluster.certificate import admin_socket, renew_certificate
from deployments.cluster.haproxy import TLS_CERTIFICATE
from models.errors.configuration import ConfigError

WARN_DAYS = 14
DAY_S = 86_400
OTHERS = 0o007


class ServedCertificate:
    """The PEM file that TLS_CERTIFICATE names: the certificate, those that signed it, and its key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._modified_ns = self._now_ns()

    @classmethod
    def from_environment(cls) -> "ServedCertificate | None":
        """None without TLS. The variable then has an absolute path: HAProxy runs in another folder."""
        if not os.environ.get(TLS_CERTIFICATE):
            os.environ.pop(TLS_CERTIFICATE, None)
            return None
        path = Path(os.environ[TLS_CERTIFICATE]).absolute()
        os.environ[TLS_CERTIFICATE] = str(path)
        return cls(path)

    def check(self, console: Console) -> None:
        """Raises ConfigError for what HAProxy cannot serve or clients refuse; warns of an end that is near."""
        days = (expiry_of(self.path) - time.time()) / DAY_S
        if days < WARN_DAYS:
            console.print(f"{self.path}: the certificate expires in {days:.0f} days", markup=False, style="yellow")

    def follow(self, console: Console) -> None:
        """If the file has changed, serve the new certificate. A wrong one changes nothing."""
        now_ns = self._now_ns()
        if now_ns is None or now_ns == self._modified_ns:
            return
        self._modified_ns = now_ns
        try:
            self.check(console)
            renew_certificate(admin_socket(), self.path)
        except ConfigError as error:
            console.print(f"the certificate changed, but was not applied: {error}", markup=False, style="red")
            return
        console.print(f"{self.path} changed: new connections get the new certificate", markup=False)

    def _now_ns(self) -> int | None:
        """None while the file is missing: a tool may be replacing it."""
        return self.path.stat().st_mtime_ns if self.path.exists() else None


def expiry_of(path: Path) -> float:
    """When the certificate ends, in seconds since 1970. Raises ConfigError if it cannot be served now."""
    try:
        text = path.read_bytes()
        if path.stat().st_mode & OTHERS:
            raise ConfigError(
                TLS_CERTIFICATE, f"{path} has a private key that every user may read; run chmod 640 on it"
            )
    except OSError as error:
        raise ConfigError(TLS_CERTIFICATE, f"{path} cannot be read: {error.strerror}") from None
    _check_pair(path)
    certificate = x509.load_pem_x509_certificates(text)[0]
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= datetime.now(UTC) < end:
        raise ConfigError(
            TLS_CERTIFICATE, f"{path}: the certificate is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d} only"
        )
    return end.timestamp()


def _check_pair(path: Path) -> None:
    """Raises ConfigError unless the file has a certificate, and its key without a password."""

    def refuse_password() -> str:
        raise ConfigError(TLS_CERTIFICATE, f"{path}: the key has a password, and HAProxy could not ask for it")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=refuse_password)
    except ssl.SSLError as error:
        reason = {
            "KEY_VALUES_MISMATCH": "the key is another certificate's",
            "KEY_TYPE_MISMATCH": "the key is another certificate's",
        }.get(error.reason or "", "must have a certificate and its private key, both in PEM format")
        raise ConfigError(TLS_CERTIFICATE, f"{path}: {reason}") from None
