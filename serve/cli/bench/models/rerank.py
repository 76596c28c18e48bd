"""Rerank pairs a second: /rerank against the cross-encoder called offline and infinity-emb; and our own default."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from serve.cli.bench.models.offline import Job, Offline
from serve.cli.bench.models.rows import Row, skipped, throughput_rows
from serve.cli.bench.models.session import Session, called_offline
from serve.cli.driver import servers
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.random_models import CROSS_ENCODER, build_cross_encoder, write_cross_encoder_catalog
from serve.cli.driver.servers import OURS, Server
from serve.cli.driver.turns import Contender, Target, served
from serve.cli.driver.workload import NUM_CANDIDATES, Words, rerank_bodies

CLIENTS = (8, 32)
LATE_INTERACTION = "late-interaction"
NUM_REQUESTS = 64
NUM_COLD_REQUESTS = 1024  # more than a turn sends
OFFLINE, INFINITY = "offline, best batch", "infinity-emb"
TARGETS = {OFFLINE: Target(0.9), INFINITY: Target(1.5)}
MODELS = {OURS: CROSS_ENCODER, INFINITY: "model"}  # each server's name of the model
PATH = "/rerank"

Pairs = list[tuple[str, list[str]]]  # a query and its candidates


def rows(session: Session) -> Iterator[Row]:
    """The cross-encoder against its peers, then late interaction with its token vectors computed, and cached."""
    folder = build_cross_encoder(session.encoder, session.folder / CROSS_ENCODER)
    catalog = write_cross_encoder_catalog(session.folder / "catalog.yaml", folder)
    yield from _cross_encoder_rows(session, folder, catalog)
    yield from _late_interaction_rows(session)


def _pairs(words: Words, count: int) -> Pairs:
    return [(query, words.candidates()) for query in words.queries(count)]


def _what(clients: int) -> str:
    return f"rerank {NUM_CANDIDATES} candidates of 120 tokens, {clients} clients"


@dataclass(frozen=True)
class Rivals:
    """The servers that run, by name, and the offline process; all rerank the same pairs."""

    running: dict[str, Server]
    process: Offline
    pairs: Pairs

    def contenders(self, session: Session, clients: int) -> list[Contender]:
        contenders = []
        for name, server in self.running.items():
            bodies = session.write(f"pairs-{server.port}", rerank_bodies(self.pairs, MODELS[name]))
            load = Load("", 0, PATH, str(bodies), clients, 0.0, NUM_CANDIDATES)
            contenders.append(served(name, server, load, TARGETS.get(name)))
        return [*contenders, called_offline(OFFLINE, self.process, "pairs", TARGETS[OFFLINE])]


def _cross_encoder_rows(session: Session, folder: Path, catalog: Path) -> Iterator[Row]:
    pairs = _pairs(session.words, NUM_REQUESTS)
    texts = session.folder / "pairs.json"
    texts.write_text(json.dumps(pairs))
    job = Job("reranking", CROSS_ENCODER, str(catalog), {"pairs": str(texts)}, session.plan.try_s)

    def infinity() -> servers.Launch:
        return servers.infinity(session.programs_of("infinity"), folder, session.plan.device)

    with ExitStack() as stack:
        ours = session.start_ragserve(stack, {"Reranker": CROSS_ENCODER}, catalog)
        theirs = session.start_peer(stack, INFINITY, infinity)
        running = {OURS: ours} if theirs is None else {OURS: ours, INFINITY: theirs}
        rivals = Rivals(running, stack.enter_context(session.offline(job)), pairs)
        for clients in CLIENTS:
            session.report(_what(clients))
            contenders = rivals.contenders(session, clients)
            yield from throughput_rows(_what(clients), "pairs/s", contenders, session.compare(contenders))
            if theirs is None:
                yield skipped(_what(clients), INFINITY, session.missing[INFINITY])


def _late_interaction_rows(session: Session) -> Iterator[Row]:
    """Cold: new candidates in every request. Warm: the same few requests again and again."""
    cold = session.write("cold", rerank_bodies(_pairs(session.words, NUM_COLD_REQUESTS), LATE_INTERACTION))
    warm = session.write("warm", rerank_bodies(_pairs(session.words, NUM_REQUESTS), LATE_INTERACTION))
    with ExitStack() as stack:
        server = session.start_ragserve(stack, {"Reranker": LATE_INTERACTION})
        what = f"{_what(CLIENTS[0])}, late interaction"
        load = Load("", 0, PATH, "", CLIENTS[0], 0.0, NUM_CANDIDATES)
        session.report(what)
        contenders = [
            served(f"{OURS}, {state}", server, replace(load, bodies=str(bodies), repeats=repeats))
            for state, bodies, repeats in (("cold", cold, False), ("warm", warm, True))
        ]
        yield from throughput_rows(what, "pairs/s", contenders, session.compare(contenders))
