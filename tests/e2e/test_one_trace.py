"""One request in the log of each process that it reached, and in one trace, across real replicas."""

import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from ray._private.worker import global_worker

from serve.cli.remote import RemoteService
from tests.conftest import START_TIMEOUT_S, Service
from tests.otlp_receiver import Receiver, attributes
from tests.patience import PATIENCE_S
from tests.remote_server import ScriptedServer, chunk

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CALLER = "00f067aa0ba902b7"  # the caller's span
REQUEST = "POST /v1/query"
PROCESSES = {"Ingress", "Embedder", "DenseSearcher", "LexicalSearcher", "Reranker", "Generator"}
REPLICA_SPANS = {"embed.embed_batch", "dense.search", "lexical.search", "rerank.rerank_batch", "generate.stream"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


@pytest.fixture
def verbose(changing: Service, remote_model: ScriptedServer, tmp_path: Path) -> Service:
    """The service with the access log of every process, every stage in a process of its own, and a remote model."""
    remote_model.script = [[chunk("Nine ferries. [1]"), chunk("", "stop") | {"usage": USAGE}, "[DONE]"]]
    path = tmp_path / "ferries.md"
    path.write_text("# Ferries\n\nNine ferries leave the harbour each day.\n")
    with RemoteService(changing.url) as remote:
        assert remote.ingest(path, path.name, "default")[1].status == "completed"
    changing.raw["logging_config"]["log_level"] = "INFO"
    changing.deployment("Ingress")["user_config"]["retrieval"]["stored_token_vectors"] = False
    changing.deployment("Generator")["user_config"] = {"model": "behind-url"}
    changing.apply()
    return changing


def logged(request_id: str) -> Iterator[dict[str, Any]]:
    """The lines with this id, in the logs of all replicas."""
    folder = Path(global_worker.node.get_logs_dir_path()) / "serve"
    for path in folder.glob("replica_ragserve_*.log"):
        whole, _, _ = path.read_text(errors="replace").rpartition("\n")  # a process may write now
        for line in whole.splitlines():
            if f'"{request_id}"' in line:
                yield json.loads(line)


def ask_until_every_process_logged(service: Service) -> int:
    """The number of a whole answer, in the ids of its request. Replicas take the new level one after the other."""
    end, whole = time.monotonic() + START_TIMEOUT_S, list[int]()
    for number in count():
        assert time.monotonic() < end
        headers = {"x-request-id": id_of(number), "traceparent": f"00-{trace_of(number)}-{CALLER}-01"}
        body = {"query": "How many ferries leave?"}
        url, options = f"{service.url}/v1/query", {"timeout": PATIENCE_S, "trust_env": False}
        answer = httpx.post(url, json=body, headers=headers, **options).json()
        whole += [number] if answer.get("degraded") == [] else []
        for each in whole:
            if processes_that_logged(each) >= PROCESSES:
                return each
        time.sleep(0.2)


def processes_that_logged(number: int) -> set[str]:
    return {line["deployment"] for line in logged(id_of(number))}


def id_of(number: int) -> str:
    return f"req-ferry-{number}"


def trace_of(number: int) -> str:
    return f"{number + 1:032x}"


def spans_of(traces: Receiver, trace: str) -> list[Span]:
    """Once the request has ended. The request's own span is the last one that is sent."""
    end = time.monotonic() + PATIENCE_S
    while True:
        spans = [span for span in traces.spans if span.trace_id.hex() == trace]
        if any(span.name == REQUEST for span in spans):
            return spans
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_request_is_in_every_processs_log_and_in_one_trace(
    verbose: Service, traces: Receiver, remote_model: ScriptedServer
) -> None:
    number = ask_until_every_process_logged(verbose)

    spans = spans_of(traces, trace_of(number))
    ids = {span.span_id.hex(): span for span in spans}
    (root,) = [span for span in spans if span.name == REQUEST]
    assert {line["trace_id"] for line in logged(id_of(number))} == {trace_of(number)}
    assert {line["request_id"] for line in logged(id_of(number))} == {id_of(number)}
    assert root.parent_span_id.hex() == CALLER
    assert attributes(root)["ragserve.request_id"] == id_of(number)
    assert {span.parent_span_id.hex() for span in spans} <= {CALLER, *ids}
    assert {span.name for span in spans} >= REPLICA_SPANS
    sent = [request.headers["traceparent"].split("-") for request, _ in remote_model.requests]
    assert {ids[parent].name for _, trace, parent, _ in sent if trace == trace_of(number)} == {"generate.stream"}
