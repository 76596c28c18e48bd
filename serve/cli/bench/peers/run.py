"""The run of `ragserve bench peers`: ingests the documents, gives the peers the same index, measures in turns."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.bench.peers import servers
from serve.cli.bench.peers.rows import CROSS_ENCODER as CROSS_ENCODER_MODE
from serve.cli.bench.peers.rows import HEAD, PeersPlan, Row, overlap, rows_of, table_row, write_json
from serve.cli.bench.peers.servers import QueryApi
from serve.cli.bench.peers.workload import BenchedService, Workload, read_prepared, read_workload
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.corpus.serving import wait_until_indexed
from serve.cli.driver.machine import describe_machine
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.peers.environments import ServerStartError
from serve.cli.driver.peers.settings import PeerSettings, write_chunks
from serve.cli.driver.random_models import (
    CROSS_ENCODER,
    build_cross_encoder,
    encoder_folder,
    write_cross_encoder_catalog,
)
from serve.cli.driver.servers import OURS, Launch, Server, running
from serve.cli.driver.turns import Contender, run_interleaved, served
from serve.cli.driver.workload import write_bodies

COMPARE_CONCURRENCY = 4
INGEST_CONCURRENCY = 8


@dataclass
class Session:
    """One run. `servers` and `apis` have every server by name, ours first; `notes` and `facts` go with the results."""

    plan: PeersPlan
    folder: Path
    report: Callable[[str], None]
    stack: ExitStack
    servers: dict[str, Server] = field(default_factory=dict)
    apis: dict[str, QueryApi] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    num_loads_done: int = 0

    def start(self, launch: Launch, api: QueryApi, threads: int, stack: ExitStack | None = None) -> Server:
        """The server, ready, until `stack` ends, or the session's own. Raises ServerStartError."""
        self.report(f"starting {launch.name}")
        server = (stack or self.stack).enter_context(running(launch, self.folder, threads))
        self.servers[launch.name] = server
        self.apis[launch.name] = api
        return server

    def next_questions(self, workload: Workload) -> tuple[str, ...]:
        """All questions; over a prepared corpus, each load begins at another one, as it may not repeat any."""
        if workload.prepared is None:
            return workload.questions
        num_loads = len(self.plan.modes) * len(self.plan.clients)
        start = self.num_loads_done * len(workload.questions) // num_loads
        return workload.questions[start:] + workload.questions[:start]


def measure(plan: PeersPlan, output: Path | None, plot: Path | None) -> None:
    """Prints the table, writes and draws the rows; those that were measured are written even if a later one fails."""
    # As Ctrl-C: no server outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts, rows = describe_machine(plan.threads), list[Row]()
    try:
        with TemporaryDirectory() as folder:
            for row in run(plan, Path(folder), show_progress, facts):
                rows.append(row)
                show_progress(table_row(row))
    finally:
        caption = "; ".join(f"{name}: {fact}" for name, fact in facts.items())
        show(caption, "", HEAD, *map(table_row, rows))
        if output is not None:
            write_json(output, rows, facts)
        if plot is not None and rows:
            from serve.cli.bench.peers.plot import draw

            draw(rows, plot)


def run(plan: PeersPlan, folder: Path, report: Callable[[str], None], facts: dict[str, str]) -> Iterator[Row]:
    """Every row, as soon as it is measured; adds to `facts` the sizes of the workload and the skipped peers.

    Raises InvalidRequestError for questions or documents that cannot be read, ServerStartError if ragserve fails.
    """
    workload = read_prepared(plan.corpus) if plan.corpus else read_workload(plan.documents, plan.questions)
    facts["questions"] = str(len(workload.questions))
    with ExitStack() as stack:
        session = Session(plan, folder, report, stack, facts=facts)
        session.servers[OURS] = Server(OURS, 0, 0)  # the first in every table; started in each mode anew
        for mode in plan.modes:
            with ExitStack() as own_stack:
                settings = _start_ours(session, workload, mode, own_stack)
                if mode == plan.modes[0]:
                    _start_peers(session, settings)
                _set_mode(session, mode)
                _compare(session, workload.questions[-plan.num_compared :])
                for clients in plan.clients:
                    yield from measure_all(session, workload, clients, mode)


def _start_ours(session: Session, workload: Workload, mode: str, stack: ExitStack) -> Path:
    """Starts ragserve with the documents in it; the settings file with which its peers do the same work."""
    encoder = encoder_folder()
    cross_encoder = build_cross_encoder(encoder, session.folder / CROSS_ENCODER)
    catalog = write_cross_encoder_catalog(session.folder / "catalog.yaml", cross_encoder)
    launch = servers.ragserve(session.plan, session.folder, catalog, mode)
    if workload.prepared is None:
        ours = session.start(launch, servers.our_api(""), session.plan.threads, stack)
        index = _ingest(session, workload, ours)
    else:
        index = _start_on_prepared(session, workload.prepared, launch, stack)
    sizes = servers.CANDIDATES, servers.TOP_K
    peer = PeerSettings(str(encoder), str(cross_encoder), *index, *sizes, session.plan.peer_dtype)
    return peer.write(session.folder / "peer.json")


def _start_on_prepared(session: Session, prepared: PreparedCorpus, launch: Launch, stack: ExitStack) -> tuple[str, str]:
    """Starts ragserve on a copy of the corpus; returns the paths of its chunks and vectors."""
    state = session.folder / "state"
    if not state.exists():
        prepared.copy_state(state)
    ours = session.start(launch, servers.our_api(DEFAULT_VECTOR_STORE), session.plan.threads, stack)
    wait_until_indexed(ours, prepared.questions[-1].text)
    session.facts |= prepared.facts
    return str(prepared.chunks_file), str(prepared.vectors_file)


def _ingest(session: Session, workload: Workload, ours: Server) -> tuple[str, str]:
    """Ingests the documents; returns the paths of their chunks and vectors."""
    with BenchedService(ours.url) as service:
        session.report(f"{len(workload.corpus.documents)} documents to ingest")
        store_id = service.ensure_indexed(workload.corpus, INGEST_CONCURRENCY, lambda _: None)
        session.apis[ours.name] = servers.our_api(store_id)
        return _write_index(session, service, store_id)


def _write_index(session: Session, service: BenchedService, store_id: str) -> tuple[str, str]:
    """Writes ragserve's chunks and their vectors; returns both paths."""
    chunks = service.chunks(store_id)
    texts = [chunk.indexed_text for chunk in chunks]
    session.facts["chunks"] = str(len(chunks))
    session.facts["words of a chunk"] = f"{np.median([len(text.split()) for text in texts]):.0f} in the median"
    vectors = session.folder / "vectors.npy"
    np.save(vectors, service.embed(texts))
    return str(write_chunks(session.folder / "chunks.jsonl", chunks)), str(vectors)


def _start_peers(session: Session, settings: Path) -> None:
    """Starts the peers; a peer that cannot be started is reported, and is part of the facts."""
    for name, peer in servers.PEERS.items():
        try:
            session.start(peer.launch(session.plan, settings), peer.api, session.plan.peer_threads)
        except ServerStartError as error:
            session.report(str(error))
            session.facts[name] = f"skipped: {error}"


def _set_mode(session: Session, mode: str) -> None:
    """Asks the peers to rerank, or not to."""
    for name, peer in servers.PEERS.items():
        if name in session.servers:
            session.apis[name] = peer.api if mode == CROSS_ENCODER_MODE else servers.without_reranking(peer.api)


def _compare(session: Session, questions: tuple[str, ...]) -> None:
    """Notes how many of ragserve's passages each peer returns as well: they must do the same work."""
    chunk_ids = {name: _chunk_ids(session, name, questions) for name in session.servers}
    for name, theirs in chunk_ids.items():
        if name != OURS:
            shared = f"{overlap(chunk_ids[OURS], theirs):.0%} of ragserve's {servers.TOP_K} passages are also its own"
            session.notes[name] = f"{session.plan.peer_threads} thread(s), {session.plan.peer_dtype}; {shared}"
            session.report(f"{name}: {shared}, in {len(questions)} questions")


def _chunk_ids(session: Session, name: str, questions: tuple[str, ...]) -> list[list[str]]:
    """Ids of the chunks in the answer to each question."""
    api = session.apis[name]
    with BenchedService(session.servers[name].url) as service, ThreadPoolExecutor(COMPARE_CONCURRENCY) as pool:

        def ask(question: str) -> list[str]:
            return api.chunk_ids(service.post(api.path, api.body(question)))

        return list(pool.map(ask, questions))


def measure_all(session: Session, workload: Workload, clients: int, mode: str = CROSS_ENCODER_MODE) -> list[Row]:
    """A row a server, measured in turns under this number of clients."""
    session.report(f"{clients} clients, the peers rerank with: {mode}")
    contenders = [_contender(session, name, workload, clients) for name in session.servers]
    with BenchedService(session.servers[OURS].url) as service:
        before = service.num_degraded()
        results = run_interleaved(contenders, session.plan.turn_s, session.plan.num_turns)
        degraded = service.num_degraded() - before
    session.num_loads_done += 1
    if degraded:
        session.notes[OURS] = f"{degraded} answers are missing a stage, so this is no comparison"
    return rows_of(clients, results, session.notes, mode)


def _contender(session: Session, name: str, workload: Workload, clients: int) -> Contender:
    api, server = session.apis[name], session.servers[name]
    bodies = [api.body(question) for question in session.next_questions(workload)]
    path = write_bodies(session.folder / f"questions-{server.port}.jsonl", bodies)
    # Over a prepared corpus, no question is sent to a server twice.
    return served(name, server, Load("", 0, api.path, str(path), clients, 0.0, repeats=workload.prepared is None))
