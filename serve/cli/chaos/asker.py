"""A process that asks questions until it is ended: `python -m serve.cli.chaos.asker URL STORE SEED`, an Outcome a line.

Each question is new to every cache. Every fourth one is streamed.
"""

import json
import sys
import time
from typing import Any

import httpx

from serve.cli.chaos.outcomes import Outcome
from serve.cli.chaos.uploads import NUM_DOCUMENTS

PAUSE_S = 0.15
TIMEOUT_S = 90.0
STREAM_EVERY = 4
HEADERS = {"cache-control": "no-store"}
QUESTION = "Question {number}: which pier lies beside tower{document}, and who guards it?"


def main(url: str, store: str, seed: int) -> None:
    number = seed * 1_000_000
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False, headers=HEADERS) as http:
        while True:
            number += 1
            outcome = ask(http, store, number, is_stream=number % STREAM_EVERY == 0)
            sys.stdout.write(f"{outcome.to_line()}\n")
            sys.stdout.flush()
            time.sleep(PAUSE_S)


def ask(http: httpx.Client, store: str, number: int, is_stream: bool) -> Outcome:
    query = QUESTION.format(number=number, document=number % NUM_DOCUMENTS)
    body = {"query": query, "vector_store_ids": [store], "stream": is_stream}
    started_at = time.monotonic()
    try:
        response = http.post("/v1/query", json=body)
        code, degraded = read(response.text, response.status_code)
    except httpx.HTTPError:
        code, degraded = "connection", ()
    return Outcome(started_at, time.monotonic(), code, degraded, is_stream)


def read(text: str, status: int) -> tuple[str, tuple[str, ...]]:
    """The error's code, and what the answer lacks. Of a stream, the last event counts."""
    body = _last_event(text)
    if isinstance(body, dict) and isinstance(body.get("error"), dict) and body["error"].get("code"):
        return str(body["error"]["code"]), ()
    if status != 200 or not isinstance(body, dict) or "degraded" not in body:
        return "untyped", ()
    reasons: dict[str, str] = body.get("degraded_reasons", {})
    return "", tuple(f"{name} ({reasons[name]})" if name in reasons else name for name in body["degraded"])


def _last_event(text: str) -> Any:
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1].removeprefix("data: ") if lines else ""
    try:
        return json.loads(text if text.startswith("{") else last)
    except ValueError:
        return None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
