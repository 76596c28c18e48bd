"""The run of `ragserve bench peers`: documents into ragserve, the same index to its peers, then turn after turn."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.catalog import Catalog
from models.source import SourceConfig, fetch_folder
from serve.cli.bench.models.rerank import CROSS_ENCODER, write_catalog
from serve.cli.bench.models.rows import OURS, Contender, take_turns
from serve.cli.bench.models.session import ENCODER, served
from serve.cli.bench.peers import servers as servers
from serve.cli.bench.peers.rows import PeersPlan, Row, overlap, rows_of
from serve.cli.bench.peers.servers import Dialogue
from serve.cli.bench.peers.workload import BenchedService, Workload, read_workload
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.peers.environments import PeerError
from serve.cli.driver.peers.settings import PeerSettings, write_chunks
from serve.cli.driver.random_models import build_cross_encoder
from serve.cli.driver.servers import Launch, Server, running
from serve.cli.driver.workload import write_bodies

NUM_COMPARED = 50  # questions whose passages are compared
COMPARED_AT_ONCE = 4
INGEST_CONCURRENCY = 8


@dataclass
class Run:
    """One run. `dialogues` has every server that takes turns, ours first; `notes` and `facts` go with the results."""

    plan: PeersPlan
    folder: Path
    say: Callable[[str], None]
    stack: ExitStack
    servers: dict[str, Server] = field(default_factory=dict)
    dialogues: dict[str, Dialogue] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def start(self, launch: Launch, dialogue: Dialogue, threads: int) -> Server:
        """The server, ready, until the stack ends. Raises PeerError."""
        self.say(f"starting {launch.name}")
        self.servers[launch.name] = self.stack.enter_context(running(launch, self.folder, threads))
        self.dialogues[launch.name] = dialogue
        return self.servers[launch.name]


def run(plan: PeersPlan, folder: Path, say: Callable[[str], None], facts: dict[str, str]) -> Iterator[Row]:
    """Every row, as soon as it is measured; `facts` is told what they were measured with.

    Raises InvalidRequestError for questions or documents that cannot be read, and PeerError where a server fails.
    """
    workload = read_workload(plan.documents, plan.questions)
    with ExitStack() as stack:
        session = Run(plan, folder, say, stack, facts=facts)
        settings = _start_ours(session, workload)
        _start_peers(session, settings)
        _compare(session, workload.questions[:NUM_COMPARED])
        for clients in plan.clients:
            yield from measure(session, workload, clients)


def _start_ours(session: Run, workload: Workload) -> Path:
    """ragserve with the documents in it; the file of what its peers need to do the same work."""
    config = Catalog.open().config("embedding", ENCODER)
    assert isinstance(config, SourceConfig)
    encoder = fetch_folder(ENCODER, config, ["*"])
    cross_encoder = build_cross_encoder(encoder, session.folder / CROSS_ENCODER)
    catalog = write_catalog(session.folder / "catalog.yaml", cross_encoder)
    launch = servers.ragserve(session.plan, session.folder, catalog)
    ours = session.start(launch, servers.our_dialogue(""), session.plan.of_servers().threads)
    with BenchedService(ours.url) as service:
        session.say(f"{len(workload.corpus.documents)} documents to ingest")
        store_id = service.ensure_indexed(workload.corpus, INGEST_CONCURRENCY, lambda _: None)
        session.dialogues[ours.name] = servers.our_dialogue(store_id)
        settings = _write_index(session, service, store_id)
    session.facts["questions"] = str(len(workload.questions))
    numbers = servers.CANDIDATES, servers.TOP_K
    peer = PeerSettings(str(encoder), str(cross_encoder), *settings, *numbers, session.plan.peer_dtype)
    return peer.write(session.folder / "peer.json")


def _write_index(session: Run, service: BenchedService, store_id: str) -> tuple[str, str]:
    """The files of ragserve's chunks and of their vectors."""
    chunks = service.chunks(store_id)
    texts = [chunk.indexed_text for chunk in chunks]
    session.facts["chunks"] = str(len(chunks))
    session.facts["words of a chunk"] = f"{np.median([len(text.split()) for text in texts]):.0f} in the median"
    vectors = session.folder / "vectors.npy"
    np.save(vectors, service.embed(texts))
    return str(write_chunks(session.folder / "chunks.jsonl", chunks)), str(vectors)


def _start_peers(session: Run, settings: Path) -> None:
    """Those that can be had; why another cannot is said, and kept."""
    for name, peer in servers.PEERS.items():
        try:
            session.start(peer.launch(session.plan, settings), peer.dialogue, session.plan.peer_threads)
        except PeerError as error:
            session.say(str(error))
            session.facts[name] = f"not run: {error}"


def _compare(session: Run, questions: tuple[str, ...]) -> None:
    """Which of ragserve's passages each peer finds as well: that they do the same work."""
    found = {name: _passages(session, name, questions) for name in session.servers}
    for name, theirs in found.items():
        if name != OURS:
            shared = f"{overlap(found[OURS], theirs):.0%} of ragserve's {servers.TOP_K} passages are also its own"
            session.notes[name] = f"{session.plan.peer_threads} thread(s), {session.plan.peer_dtype}; {shared}"
            session.say(f"{name}: {shared}, in {len(questions)} questions")


def _passages(session: Run, name: str, questions: tuple[str, ...]) -> list[list[str]]:
    dialogue = session.dialogues[name]
    with BenchedService(session.servers[name].url) as service, ThreadPoolExecutor(COMPARED_AT_ONCE) as pool:

        def ask(question: str) -> Any:
            return dialogue.chunk_ids(service.post(dialogue.path, dialogue.body(question)))

        return list(pool.map(ask, questions))


def measure(session: Run, workload: Workload, clients: int) -> list[Row]:
    """A row a server, all of which took turns under so many clients."""
    session.say(f"{clients} clients")
    contenders = [_contender(session, name, workload, clients) for name in session.servers]
    with BenchedService(session.servers[OURS].url) as service:
        before = service.num_degraded()
        results = take_turns(contenders, session.plan.of_servers())
        degraded = service.num_degraded() - before
    if degraded:
        session.notes[OURS] = f"{degraded} answers went without a stage, so this is no comparison"
    return rows_of(clients, results, session.notes)


def _contender(session: Run, name: str, workload: Workload, clients: int) -> Contender:
    dialogue, server = session.dialogues[name], session.servers[name]
    bodies = [dialogue.body(question) for question in workload.questions]
    path = write_bodies(session.folder / f"questions-{server.port}.jsonl", bodies)
    return served(name, server, Load("", 0, dialogue.path, str(path), clients, 0.0))
