"""Rerank pairs a second: /rerank against the cross-encoder called offline and infinity-emb; and our own default."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import yaml

from serve.cli.bench.models.offline import Job, Offline, offline
from serve.cli.bench.models.rows import OURS, Contender, Row, Target, not_run, take_turns, throughput_rows
from serve.cli.bench.models.session import Session, called_offline, served
from serve.cli.driver import servers as servers
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.random_models import build_cross_encoder
from serve.cli.driver.servers import Server
from serve.cli.driver.workload import NUM_CANDIDATES, Words, rerank_bodies

CLIENTS = (8, 32)
CROSS_ENCODER, LATE_INTERACTION = "bench-cross-encoder", "late-interaction"
NUM_REQUESTS = 64
NUM_COLD_REQUESTS = 1024  # more than a turn can use up
OFFLINE, INFINITY = "offline, best batch", "infinity-emb"
TARGETS = {OFFLINE: Target(0.9), INFINITY: Target(1.5)}
PATH = "/rerank"

Pairs = list[tuple[str, list[str]]]  # a query and its candidates


def rows(session: Session) -> Iterator[Row]:
    """The cross-encoder against its peers, then late interaction with its token vectors computed, and cached."""
    folder = build_cross_encoder(session.encoder, session.folder / CROSS_ENCODER)
    catalog = write_catalog(session.folder / "catalog.yaml", folder)
    yield from _cross_encoder_rows(session, folder, catalog)
    yield from _late_interaction_rows(session)


def write_catalog(path: Path, cross_encoder: Path) -> Path:
    options = {"source": str(cross_encoder), "engine": "auto"}
    entry = {"kind": "cross_encoder", "licence": "Apache-2.0", "options": options}
    path.write_text(yaml.safe_dump({"reranking": {CROSS_ENCODER: entry}}))
    return path


def _pairs(words: Words, count: int) -> Pairs:
    return [(query, words.candidates()) for query in words.queries(count)]


def _what(clients: int) -> str:
    return f"rerank {NUM_CANDIDATES} candidates of 120 tokens, {clients} clients"


def _cross_encoder_rows(session: Session, folder: Path, catalog: Path) -> Iterator[Row]:
    plan, pairs = session.plan, _pairs(session.words, NUM_REQUESTS)
    texts = session.folder / "pairs.json"
    texts.write_text(json.dumps(pairs))
    job = Job("reranking", CROSS_ENCODER, str(catalog), {"pairs": str(texts)})
    with ExitStack() as stack:
        ours = session.start(stack, servers.ragserve(plan, session.folder, {"Reranker": CROSS_ENCODER}, catalog))
        theirs = session.start_peer(stack, INFINITY, lambda: servers.infinity(plan, folder))
        process = stack.enter_context(offline(job, plan.threads))
        for clients in CLIENTS:
            session.say(_what(clients))
            contenders = _contenders(session, ours, theirs, process, (pairs, clients))
            yield from throughput_rows(_what(clients), "pairs/s", contenders, take_turns(contenders, plan))
            if theirs is None:
                yield not_run(_what(clients), INFINITY, session.missing[INFINITY])


def _contenders(
    session: Session,
    ours: Server,
    theirs: Server | None,
    process: Offline,
    load: tuple[Pairs, int],
) -> list[Contender]:
    pairs, clients = load
    shapes = [(OURS, CROSS_ENCODER, ours), (INFINITY, "model", theirs)]
    contenders = []
    for name, model, server in shapes:
        if server is not None:
            bodies = session.write(f"pairs-{server.port}", rerank_bodies(pairs, model))
            asked = Load("", 0, PATH, str(bodies), clients, 0.0, NUM_CANDIDATES)
            contenders.append(served(name, server, asked, TARGETS.get(name)))
    return [*contenders, called_offline(OFFLINE, process, "pairs", TARGETS[OFFLINE])]


def _late_interaction_rows(session: Session) -> Iterator[Row]:
    """Cold: candidates that were never seen. Warm: the same few requests again and again."""
    plan = session.plan
    cold = session.write("cold", rerank_bodies(_pairs(session.words, NUM_COLD_REQUESTS), LATE_INTERACTION))
    warm = session.write("warm", rerank_bodies(_pairs(session.words, NUM_REQUESTS), LATE_INTERACTION))
    with ExitStack() as stack:
        server = session.start(stack, servers.ragserve(plan, session.folder, {"Reranker": LATE_INTERACTION}))
        what = f"{_what(CLIENTS[0])}, late interaction"
        load = Load("", 0, PATH, "", CLIENTS[0], 0.0, NUM_CANDIDATES)
        session.say(what)
        contenders = [
            served(f"{OURS}, {state}", server, replace(load, bodies=str(bodies), repeats=repeats))
            for state, bodies, repeats in (("cold", cold, False), ("warm", warm, True))
        ]
        yield from throughput_rows(what, "pairs/s", contenders, take_turns(contenders, plan))
