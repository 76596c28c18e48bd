"""Embeddings a second: /v1/embeddings against the model called offline, infinity-emb, and a plain FastAPI server."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np

from models.types import FloatArray
from serve.cli.bench.models.offline import Job, Offline, offline
from serve.cli.bench.models.rows import OURS, Contender, Row, Target, not_run, take_turns, throughput_rows
from serve.cli.bench.models.session import ENCODER, Session, called_offline, served
from serve.cli.driver import servers as servers
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.servers import Server
from serve.cli.driver.workload import embedding_bodies

TEXTS_A_REQUEST = (1, 8)
NUM_QUERIES, NUM_CHUNKS = 4096, 768
OFFLINE, INFINITY, PLAIN = "offline, best batch", "infinity-emb", "FastAPI + sentence-transformers"
TARGETS = {OFFLINE: Target(0.9), INFINITY: Target(1.5), PLAIN: Target(3.0)}
# Where each answers, what it calls the model, and whether it knows base64, which OpenAI's client asks for.
SHAPES = {
    OURS: ("/v1/embeddings", ENCODER, True),
    INFINITY: ("/embeddings", "model", True),
    PLAIN: ("/v1/embeddings", "model", False),
}
NUM_COMPARED = 4
TIMEOUT_S = 60.0


def rows(session: Session) -> Iterator[Row]:
    """Queries and chunks, one and several texts a request."""
    plan = session.plan
    texts = {"queries": session.words.queries(NUM_QUERIES), "chunks": session.words.chunks(NUM_CHUNKS)}
    workloads = {name: _write_texts(session.folder / f"{name}.json", some) for name, some in texts.items()}
    with ExitStack() as stack:
        found = {
            OURS: session.start(stack, servers.ragserve(plan, session.folder, {"Embedder": ENCODER})),
            INFINITY: session.start_peer(stack, INFINITY, lambda: servers.infinity(plan, session.encoder)),
            PLAIN: session.start_peer(stack, PLAIN, lambda: servers.plain(plan, session.encoder)),
        }
        running = {name: server for name, server in found.items() if server is not None}
        process = stack.enter_context(offline(Job("embedding", ENCODER, None, workloads), plan.threads))
        agreement = _agreement(running, texts["chunks"][:NUM_COMPARED])
        for kind, some in texts.items():
            for a_request in TEXTS_A_REQUEST:
                what = f"embed {_length(kind)}, {a_request} a request, {plan.clients} clients"
                session.say(what)
                contenders = _contenders(session, running, process, (kind, some, a_request), agreement)
                yield from throughput_rows(what, "texts/s", contenders, take_turns(contenders, plan))
                yield from (not_run(what, name, session.missing[name]) for name in found if name in session.missing)


def _length(kind: str) -> str:
    return {"queries": "queries of 10 tokens", "chunks": "chunks of 256 tokens"}[kind]


def _contenders(
    session: Session,
    running: dict[str, Server],
    process: Offline,
    load: tuple[str, list[str], int],
    agreement: dict[str, float],
) -> list[Contender]:
    kind, texts, a_request = load
    contenders = []
    for name, server in running.items():
        path, model, is_base64 = SHAPES[name]
        bodies = session.write(
            f"{kind}-{a_request}-{server.port}", embedding_bodies(texts, a_request, model, is_base64)
        )
        note = f"its vectors' cosine with ours: {agreement[name]:.4f}" if name in agreement else ""
        asked = Load("", 0, path, str(bodies), session.plan.clients, 0.0, a_request)
        contenders.append(served(name, server, asked, TARGETS.get(name), note))
    return [*contenders, called_offline(OFFLINE, process, kind, TARGETS[OFFLINE])]


def _write_texts(path: Path, texts: list[str]) -> str:
    path.write_text(json.dumps(texts))
    return str(path)


def _agreement(running: dict[str, Server], texts: list[str]) -> dict[str, float]:
    """The least cosine between a peer's vectors and ours: that both serve the same model."""
    vectors = {name: _vectors(name, server, texts) for name, server in running.items()}
    ours = vectors.pop(OURS)
    return {name: float((theirs * ours).sum(axis=1).min()) for name, theirs in vectors.items()}


def _vectors(name: str, server: Server, texts: list[str]) -> FloatArray:
    path, model, _ = SHAPES[name]
    response = httpx.post(f"{server.url}{path}", json={"model": model, "input": texts}, timeout=TIMEOUT_S)
    response.raise_for_status()
    found = np.asarray([item["embedding"] for item in response.json()["data"]], np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)
