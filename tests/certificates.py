"""Certificates for tests of TLS: each signs itself."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str

    def write(self, path: Path) -> Path:
        """The file that HAProxy reads."""
        path.touch(mode=0o600)
        path.write_text(self.certificate + self.key)
        return path


def pair(name: str = "127.0.0.1", days: float = 90, starts_in_days: float = 0, password: str | None = None) -> Pair:
    """A certificate for an address or a host; `days` below 0: expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ragserve")])
    now = datetime.now(UTC)
    try:
        subject_name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject_name = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=starts_in_days or min(-1, days - 1)))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([subject_name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)
    return Pair(certificate.public_bytes(PEM).decode(), secret.decode())
