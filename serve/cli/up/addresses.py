"""What `ragserve up` prints when it serves: where to ask, and where its metrics and logs are."""

from pathlib import Path

CURL = """curl -s {url}/v1/query{key} -d '{{"query": "How do I swap the reranker?"}}'"""
KEY = ' -H "Authorization: Bearer $RAGSERVE_API_KEY"'


def places(metrics_port: str, logs: Path) -> str:
    """Where the metrics and the logs of this service are: another one may have the usual port and session_latest.

    `metrics_port` 0 or "": the metrics have no port of their own. `logs` is the folder of Ray's logs.
    """
    metrics = f"metrics on http://127.0.0.1:{metrics_port}/metrics, " if metrics_port.strip("0 ") else ""
    return f"{metrics}logs in {logs / 'serve'}"


def first_question(url: str, needs_keys: bool) -> str:
    """A command that asks the service."""
    return CURL.format(url=url, key=KEY if needs_keys else "")
