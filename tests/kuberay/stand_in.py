"""A minimal Kubernetes API server on loopback: one RayCluster that Ray's autoscaler reads and patches."""

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.kuberay.ray_cluster import HEAD_POD, NAME, NAMESPACE, Json, RayCluster

LOOPBACK = "127.0.0.1"


class ApiServer(BaseHTTPRequestHandler):
    """The autoscaler's four requests: read the RayCluster, list the pods, read the head pod, patch the RayCluster."""

    protocol_version = "HTTP/1.1"
    PODS: ClassVar = f"/api/v1/namespaces/{NAMESPACE}/pods"
    CLUSTER: ClassVar = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayclusters/{NAME}"

    def __init__(self, cluster: RayCluster, *arguments: Any) -> None:
        self._cluster = cluster
        super().__init__(*arguments)  # handles the request

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        pods = {pod["metadata"]["name"]: pod for pod in self._cluster.pods()}
        name = url.path.removeprefix(f"{self.PODS}/")
        if url.path == self.CLUSTER:
            self._answer(self._cluster.manifest())
        elif url.path == self.PODS and parse_qs(url.query)["labelSelector"] == [f"ray.io/cluster={NAME}"]:
            self._answer({"metadata": {"resourceVersion": "1"}, "items": list(pods.values())})
        elif name in pods:
            self._answer(pods[name])
        else:
            self._answer({"message": f"no resource at {self.path}"}, HTTPStatus.NOT_FOUND)

    def do_PATCH(self) -> None:
        operations = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self._cluster.patch(operations)
        except (KeyError, IndexError) as error:
            self._answer({"message": f"cannot replace {error}"}, HTTPStatus.UNPROCESSABLE_ENTITY)
        else:
            self._answer(self._cluster.manifest())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: the autoscaler sends several requests per second."""

    def _answer(self, content: Json, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def api_server(cluster: RayCluster, folder: Path) -> Iterator[dict[str, str]]:
    """Serve `cluster` over TLS, as Ray requires; yields the environment variables for Ray's autoscaler."""
    certificate = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer((LOOPBACK, 0), partial(ApiServer, cluster))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    variables = {
        "KUBERNETES_SERVICE_HOST": LOOPBACK,
        "KUBERNETES_SERVICE_PORT_HTTPS": str(server.server_port),
        "RAY_HEAD_POD_NAME": HEAD_POD,
        "RAY_KUBERAY_CA_CERT_PATH": str(certificate),
        # With a client certificate the autoscaler needs no service account token.
        "RAY_KUBERAY_CLIENT_CERT_PATH": str(certificate),
        "RAY_KUBERAY_CLIENT_KEY_PATH": str(certificate),
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with server:
        try:
            yield variables
        finally:
            server.shutdown()
            thread.join()


def self_signed(folder: Path) -> Path:
    """A file with a key and a certificate for the loopback address, valid for one day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "api-server.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        certificate.public_bytes(encoding) + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    )
    return path
