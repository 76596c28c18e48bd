"""Index a question set in the running service, search it in every mode, and measure the rankings."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from serve.cli.driver.evaluated_service import Corpus, EvaluatedService, Progress, SearchOutcome
from serve.cli.driver.question_set import QuestionSet
from serve.cli.eval.measures import Rankings, measure
from serve.cli.eval.modes import MODES
from serve.cli.eval.run import DECIMALS, ModeRun, SetRun

# Gets the current step, the finished and the total number of its items.
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """`concurrency`: concurrent requests. `ks`: cut-offs of recall and precision, 1 to 50 each."""

    modes: tuple[str, ...]
    ks: tuple[int, ...]
    chunking: str
    concurrency: int
    delete: bool = False


def evaluate(
    service: EvaluatedService, questions: QuestionSet, options: Options, report: Report
) -> tuple[SetRun, dict[str, Rankings]]:
    """Returns the metrics of the set, and the ranking of each query by mode. Raises RemoteError."""
    corpus = Corpus.of(questions, options.chunking)
    total = len(corpus.documents)
    store_id = service.ensure_indexed(
        corpus, options.concurrency, lambda done: report(f"{questions.name}: indexing", done, total)
    )
    modes, rankings = {}, {}
    for mode in options.modes:
        search = partial(service.search, store_id, corpus, body=MODES[mode])
        results = search_all(search, questions, options.concurrency, partial(_report_mode, report, questions, mode))
        rankings[mode] = {query_id: result.document_ids for query_id, result in results.items()}
        modes[mode] = _mode_run(mode, results, rankings[mode], questions, options)
    if options.delete:
        service.delete_store(store_id, options.concurrency)
    return _set_run(questions, modes), rankings


def _report_mode(report: Report, questions: QuestionSet, mode: str, done: int) -> None:
    report(f"{questions.name}: {mode}", done, len(questions.queries))


def search_all(
    search: Callable[[str], SearchOutcome], questions: QuestionSet, concurrency: int, on_progress: Progress
) -> dict[str, SearchOutcome]:
    """The result of each query, by query id."""
    results = {}
    with ThreadPoolExecutor(concurrency) as pool:
        for query_id, result in zip(questions.queries, pool.map(search, questions.queries.values()), strict=True):
            results[query_id] = result
            on_progress(len(results))
    return results


def _mode_run(
    mode: str, results: dict[str, SearchOutcome], rankings: Rankings, questions: QuestionSet, options: Options
) -> ModeRun:
    values = measure(rankings, questions.qrels, options.ks)
    return ModeRun(
        body=MODES[mode],
        num_degraded=sum(result.is_degraded for result in results.values()),
        values={metric: [round(value, DECIMALS) for value in per_query] for metric, per_query in values.items()},
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
