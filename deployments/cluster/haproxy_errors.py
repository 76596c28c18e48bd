"""What HAProxy answers by itself, in the API's shape of an error. The standard library alone: see haproxy.py.

Its parser of HTTP/1 answers malformed, too long or late headers with pages of HTML that no configuration can change.
"""

import json
import re

REQUEST_S = 30  # for the headers to arrive, and for the first request of a new connection

# A code and a message in place of each page of HTML that a configuration can change.
REFUSALS = {
    400: ("invalid_request", "the request is no valid HTTP, or its headers are too long: at most 15 KiB are allowed"),
    401: ("invalid_api_key", "this service needs a key"),
    403: ("forbidden", "the load balancer refused the request"),
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "the load balancer refused the method"),
    407: ("invalid_api_key", "the load balancer needs credentials"),
    408: ("request_timeout", f"the request did not arrive within {REQUEST_S} s"),
    410: ("not_found", "there is nothing at this path any more"),
    413: ("payload_too_large", "the load balancer refused the size of the request"),
    421: ("invalid_request", "the request came over a connection to another host"),
    422: ("invalid_request", "the body has a transfer-encoding other than chunked"),
    425: ("invalid_request", "the request came before the TLS handshake was complete; send it again"),
    429: ("overloaded", "too many requests; try again in 1 s"),
    500: ("internal_error", "the load balancer failed"),
    501: ("method_not_allowed", "the load balancer does not know the method"),
    502: ("stage_unavailable", "no replica of the ingress can answer; try again in 1 s"),
    503: ("stage_unavailable", "no replica of the ingress can answer; try again in 1 s"),
    504: ("deadline_exceeded", "no replica of the ingress answered in time; try again in 1 s"),
}
RETRIED = (429, 502, 503, 504)


def body_of(status: int) -> str:
    code, message = REFUSALS[status]
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def reply(status: int) -> str:
    """The arguments of HAProxy's `http-error` and `http-request return`."""
    retry = " hdr retry-after 1" if status in RETRIED else ""
    return f"status {status} content-type application/json string '{body_of(status)}'{retry}"


def http_errors() -> str:
    """Lines for the section `defaults`: a reply for every page of HTML."""
    return "".join(f"    http-error {reply(status)}\n" for status in REFUSALS)


def write_error_files(config: str) -> None:
    """Replace the text of each file that HAProxy sends, as it is, if no replica answers."""
    body = body_of(503)
    text = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )
    for path in set(re.findall(r"errorfile 50[234] (\S+)", config)):
        with open(path, "w", newline="") as file:
            file.write(text)
