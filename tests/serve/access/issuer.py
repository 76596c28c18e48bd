"""A small OpenID Connect issuer over HTTP, with real keys."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from serve.access.oidc import DISCOVERY
from tests.patience import PATIENCE_S

AUDIENCE = "ragserve"


class Issuer:
    """An issuer with a discovery document and keys, which can rotate them and go down."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"first": rsa.generate_private_key(65537, 2048)}
        self.num_requests, self.is_down = 0, False
        self.may_answer = threading.Event()
        self.may_answer.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.num_requests += 1
                issuer.may_answer.wait(PATIENCE_S)
                body = json.dumps(issuer.document(self.path)).encode()
                self.send_response(503 if issuer.is_down else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """No log."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path: str) -> dict[str, Any]:
        if path == DISCOVERY:
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"keys": [self._public(name, key) for name, key in self.keys.items()]}

    def _public(self, name: str, key: Any) -> dict[str, Any]:
        kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        return kind.to_jwk(key.public_key(), as_dict=True) | {"kid": name, "use": "sig"}

    def token(self, key_id: str = "first", algorithm: str = "RS256", **claims: Any) -> str:
        """A valid token; a claim that is None is left out."""
        now = int(time.time())
        content = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300}
        content |= {"tenant": "acme", "role": "writer"} | claims
        content = {name: value for name, value in content.items() if value is not None}
        return jwt.encode(content, self.keys[key_id], algorithm, headers={"kid": key_id})

    def close(self) -> None:
        self.may_answer.set()
        self.server.shutdown()
        self.server.server_close()
