"""One question set through the running service: indexed, searched in every mode, measured."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from serve.cli.driver.evaluated_service import Corpus, EvaluatedService, Progress, SearchOutcome
from serve.cli.driver.question_set import QuestionSet
from serve.cli.eval.measures import Rankings, measure
from serve.cli.eval.modes import MODES
from serve.cli.eval.run import DECIMALS, ModeRun, SetRun

# What is being done, how much of it is done, and how much there is.
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """How to evaluate: `concurrency` requests at once, recall and precision at each of `ks` (1 to 50)."""

    modes: tuple[str, ...]
    ks: tuple[int, ...]
    chunking: str
    concurrency: int
    delete: bool = False


def evaluate(
    service: EvaluatedService, questions: QuestionSet, options: Options, report: Report
) -> tuple[SetRun, dict[str, Rankings]]:
    """The set's figures, and by mode the documents that each query found, best first. Raises RemoteError."""
    corpus = Corpus.of(questions, options.chunking)
    total = len(corpus.documents)
    store_id = service.ensure_indexed(
        corpus, options.concurrency, lambda done: report(f"{questions.name}: indexing", done, total)
    )
    modes, rankings = {}, {}
    for mode in options.modes:
        search = partial(service.search, store_id, corpus, body=MODES[mode])
        found = _search(search, questions, options.concurrency, partial(_report_mode, report, questions, mode))
        rankings[mode] = {query_id: one.document_ids for query_id, one in found.items()}
        modes[mode] = _mode_run(mode, found, rankings[mode], questions, options)
    if options.delete:
        service.delete_store(store_id, options.concurrency)
    return _set_run(questions, modes), rankings


def _report_mode(report: Report, questions: QuestionSet, mode: str, done: int) -> None:
    report(f"{questions.name}: {mode}", done, len(questions.queries))


def _search(
    search: Callable[[str], SearchOutcome], questions: QuestionSet, concurrency: int, on_progress: Progress
) -> dict[str, SearchOutcome]:
    """What each query found, by its id."""
    found = {}
    with ThreadPoolExecutor(concurrency) as pool:
        results = pool.map(search, questions.queries.values())
        for query_id, one in zip(questions.queries, results, strict=True):
            found[query_id] = one
            on_progress(len(found))
    return found


def _mode_run(
    mode: str, found: dict[str, SearchOutcome], rankings: Rankings, questions: QuestionSet, options: Options
) -> ModeRun:
    values = measure(rankings, questions.qrels, options.ks)
    return ModeRun(
        body=MODES[mode],
        num_degraded=sum(one.is_degraded for one in found.values()),
        values={metric: [round(value, DECIMALS) for value in many] for metric, many in values.items()},
    )


def _set_run(questions: QuestionSet, modes: dict[str, ModeRun]) -> SetRun:
    return SetRun(
        name=questions.name,
        digest=questions.digest,
        num_documents=len(questions.documents),
        left_out=asdict(questions.left_out),
        query_ids=list(questions.queries),
        modes=modes,
    )
