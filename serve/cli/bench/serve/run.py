"""The run of `ragserve bench serve`: a service on a copy of the corpus, the loads, then the libraries alone."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from deployments.embedder import EmbedderConfig
from serve.cli.bench.serve.limit import LibraryCosts, LimitRequest, measure_limit
from serve.cli.bench.serve.loads import Session, Unseen
from serve.cli.bench.serve.rows import CACHED_TRACE, COLD, TRACE, LoadRow, Results, ServePlan, write_json
from serve.cli.bench.serve.tables import tables
from serve.cli.driver.caches import without_caches
from serve.cli.driver.corpus.plan import user_config_of
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.corpus.serving import serving
from serve.cli.driver.machine import describe_machine
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.question_trace import question_trace
from serve.cli.driver.servers import ragserve_up
from serve.config_file import read, settings_of

THREADS = 1
MIN_TRACE = 20  # requests


@dataclass
class Measured:
    """What was measured so far."""

    rows: list[LoadRow] = field(default_factory=list)
    turns: list[LoadRow] = field(default_factory=list)
    limit: LibraryCosts | None = None

    def results(self) -> Results:
        return Results(tuple(self.rows), self.limit)


def measure(plan: ServePlan, corpus: PreparedCorpus, output: Path | None, plot: Path | None) -> None:
    """Prints the tables, writes and draws the results; those that were measured even if a later load fails."""
    # As Ctrl-C: no server outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    measured, facts = Measured(), describe_machine(THREADS) | corpus.facts
    try:
        run(plan, corpus, measured, show_progress)
    finally:
        show("; ".join(f"{name}: {fact}" for name, fact in facts.items()), "", tables(measured.results()))
        if output is not None:
            write_json(output, measured.results(), measured.turns, facts)
        if plot is not None and measured.rows:
            from serve.cli.bench.serve.plot import draw

            draw(measured.results(), plot)


def run(plan: ServePlan, corpus: PreparedCorpus, measured: Measured, report: Callable[[str], None]) -> None:
    """Adds every load to `measured`. Raises ServerStartError, and InvalidRequestError if the questions run out."""
    with _session(plan, corpus, measured, report, has_caches=False) as session:
        for clients in plan.clients:
            measured.rows += session.cold_and_warm(clients)
        if plan.open_s:
            peak = max(row.per_s for row in measured.rows if row.questions == COLD)
            measured.rows.append(session.half_of_peak(peak))
    if plan.trace_s:
        peak = max(row.per_s for row in measured.rows if row.questions == COLD)
        trace = question_trace(corpus.questions, max(MIN_TRACE, int(peak * plan.trace_s)))
        for name, has_caches in ((TRACE, False), (CACHED_TRACE, True)):
            with _session(plan, corpus, measured, report, has_caches) as session:
                measured.rows.append(session.trace(trace, name))
    if plan.num_limit:
        report("the libraries alone")
        measured.limit = measure_limit(limit_request(plan, corpus))


def limit_request(plan: ServePlan, corpus: PreparedCorpus) -> LimitRequest:
    """The libraries get the service's own model and sizes, and the first questions."""
    raw = read(plan.config)
    settings = settings_of(raw)
    return LimitRequest(
        str(corpus.folder.resolve()),
        str(settings.catalog) if settings.catalog else None,
        EmbedderConfig(**user_config_of(raw, "Embedder")).model,
        tuple(question.text for question in corpus.questions[: plan.num_limit]),
        settings.retrieval.candidates,
        settings.retrieval.rerank_candidates,
    )


@contextmanager
def _session(
    plan: ServePlan, corpus: PreparedCorpus, measured: Measured, report: Callable[[str], None], has_caches: bool
) -> Iterator[Session]:
    """A new service on a copy of the corpus, after its warm-up by questions from the end of the list."""
    with TemporaryDirectory() as temporary:
        folder, state, config = Path(temporary), Path(temporary) / "state", Path(temporary) / "serve_config.yaml"
        raw = read(plan.config)
        config.write_text(yaml.safe_dump(raw if has_caches else without_caches(raw), sort_keys=False))
        report(f"starting ragserve on a copy of the corpus, {'with' if has_caches else 'without'} caches")
        with serving(corpus, ragserve_up(config, state), state, folder, THREADS) as server:
            session = Session(plan, server, folder, Unseen(corpus.questions), report, measured.turns)
            session.warm_up()
            yield session
