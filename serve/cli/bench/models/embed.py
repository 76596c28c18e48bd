"""Embeddings a second: /v1/embeddings against the model called offline, infinity-emb, and a plain FastAPI server."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from models.types.arrays import FloatArray
from serve.cli.bench.models.offline import Job, Offline
from serve.cli.bench.models.rows import Row, skipped, throughput_rows
from serve.cli.bench.models.session import Session, called_offline
from serve.cli.driver import servers
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.random_models import ENCODER
from serve.cli.driver.servers import OURS, Server
from serve.cli.driver.turns import Contender, Target, served
from serve.cli.driver.workload import embedding_bodies

TEXTS_PER_REQUEST = (1, 8)
NUM_QUERIES, NUM_CHUNKS = 4096, 768
OFFLINE, INFINITY, PLAIN = "offline, best batch", "infinity-emb", "FastAPI + sentence-transformers"
TARGETS = {OFFLINE: Target(0.9), INFINITY: Target(1.5), PLAIN: Target(3.0)}
LENGTHS = {"queries": "queries of 10 tokens", "chunks": "chunks of 256 tokens"}
NUM_COMPARED = 4
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Api:
    """A server's endpoint and its name of the model; `has_base64`: OpenAI's client asks for it."""

    path: str
    model: str
    has_base64: bool


APIS = {
    OURS: Api("/v1/embeddings", ENCODER, True),
    INFINITY: Api("/embeddings", "model", True),
    PLAIN: Api("/v1/embeddings", "model", False),
}


@dataclass(frozen=True)
class Workload:
    """Texts of one length, `per_request` of them in a body."""

    kind: str
    texts: list[str]
    per_request: int


def rows(session: Session) -> Iterator[Row]:
    """Queries and chunks, one and several texts a request."""
    texts = {"queries": session.words.queries(NUM_QUERIES), "chunks": session.words.chunks(NUM_CHUNKS)}
    files = {kind: _write_texts(session.folder / f"{kind}.json", of_kind) for kind, of_kind in texts.items()}
    with ExitStack() as stack:
        running = _start_servers(session, stack)
        process = stack.enter_context(session.offline(Job("embedding", ENCODER, None, files, session.plan.try_s)))
        cosines = _least_cosines(running, texts["chunks"][:NUM_COMPARED])
        for kind, of_kind in texts.items():
            for per_request in TEXTS_PER_REQUEST:
                what = f"embed {LENGTHS[kind]}, {per_request} a request, {session.plan.clients} clients"
                session.report(what)
                contenders = _contenders(session, running, process, Workload(kind, of_kind, per_request), cosines)
                yield from throughput_rows(what, "texts/s", contenders, session.compare(contenders))
                yield from (skipped(what, name, session.missing[name]) for name in APIS if name in session.missing)


def _start_servers(session: Session, stack: ExitStack) -> dict[str, Server]:
    def infinity() -> servers.Launch:
        return servers.infinity(session.programs_of("infinity"), session.encoder, session.plan.device)

    def plain() -> servers.Launch:
        return servers.plain(session.programs_of("plain"), session.encoder)

    started = {
        OURS: session.start_ragserve(stack, {"Embedder": ENCODER}),
        INFINITY: session.start_peer(stack, INFINITY, infinity),
        PLAIN: session.start_peer(stack, PLAIN, plain),
    }
    return {name: server for name, server in started.items() if server is not None}


def _contenders(
    session: Session, running: dict[str, Server], process: Offline, workload: Workload, cosines: dict[str, float]
) -> list[Contender]:
    contenders = []
    for name, server in running.items():
        api, per_request = APIS[name], workload.per_request
        bodies = embedding_bodies(workload.texts, per_request, api.model, api.has_base64)
        path = session.write(f"{workload.kind}-{per_request}-{server.port}", bodies)
        note = f"its vectors' cosine with ours: {cosines[name]:.4f}" if name in cosines else ""
        load = Load("", 0, api.path, str(path), session.plan.clients, 0.0, per_request)
        contenders.append(served(name, server, load, TARGETS.get(name), note))
    return [*contenders, called_offline(OFFLINE, process, workload.kind, TARGETS[OFFLINE])]


def _write_texts(path: Path, texts: list[str]) -> str:
    path.write_text(json.dumps(texts))
    return str(path)


def _least_cosines(running: dict[str, Server], texts: list[str]) -> dict[str, float]:
    """The least cosine between a peer's vectors and ours: it shows that both serve the same model."""
    vectors = {name: _vectors(name, server, texts) for name, server in running.items()}
    ours = vectors.pop(OURS)
    return {name: float((theirs * ours).sum(axis=1).min()) for name, theirs in vectors.items()}


def _vectors(name: str, server: Server, texts: list[str]) -> FloatArray:
    api = APIS[name]
    response = httpx.post(f"{server.url}{api.path}", json={"model": api.model, "input": texts}, timeout=TIMEOUT_S)
    response.raise_for_status()
    vectors = np.asarray([item["embedding"] for item in response.json()["data"]], np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
