"""Compare chunking strategies on a question set: the same documents and questions, a vector store for each strategy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from models.errors.requests import InvalidRequestError
from models.errors.suggestions import did_you_mean
from serve.cli.driver.evaluated_service import CHUNKING, STRATEGIES, Corpus, EvaluatedService, SearchOutcome
from serve.cli.driver.question_set import QuestionSet
from serve.cli.eval.evaluate import Options, Report, search_all
from serve.cli.eval.measures import MAIN_METRIC, measure
from serve.cli.eval.modes import MODES

ALL = "all"
K = 10
KB = 1000


@dataclass(frozen=True)
class StrategyRow:
    """One strategy in one mode. `recall` is at 10; `answered` is the fraction of questions with a known answer that
    stands in one of the best five passages, None if no question has one.

    `index_bytes` counts texts, vectors and token vectors.
    """

    set_name: str
    chunking: str
    mode: str
    num_queries: int
    ndcg: float
    recall: float
    answered: float | None
    num_chunks: int
    tokens_per_chunk: float
    index_bytes: int
    num_degraded: int


def parse_chunkings(text: str) -> tuple[str, ...]:
    """The strategies of a comma-separated list; `all` are those that cut documents. Raises InvalidRequestError."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name != ALL and name not in CHUNKING:
            raise InvalidRequestError(f"no chunking named {name!r}{did_you_mean(name, [ALL, *CHUNKING])}", "chunking")
    if not names:
        raise InvalidRequestError(f"no chunking given{did_you_mean('', [ALL, *CHUNKING])}", "chunking")
    return tuple(STRATEGIES) if ALL in names else names


def compare_chunkings(
    service: EvaluatedService,
    questions: QuestionSet,
    chunkings: Sequence[str],
    options: Options,
    report: Report,
) -> list[StrategyRow]:
    """A row a strategy and mode. Raises RemoteError."""
    rows: list[StrategyRow] = []
    for chunking in chunkings:
        corpus = Corpus.of(questions, chunking)
        total = len(corpus.documents)
        indexing = partial(_report_indexing, report, f"{questions.name}: indexing {chunking}", total)
        store_id = service.ensure_indexed(corpus, options.concurrency, indexing)
        for mode in options.modes:
            search = partial(service.search, store_id, corpus, body=MODES[mode])
            done = partial(_report_indexing, report, f"{questions.name}: {chunking}", len(questions.queries))
            results = search_all(search, questions, options.concurrency, done)
            rows.append(_row(questions, chunking, mode, results, service.index_size(store_id)))
        if options.delete:
            service.delete_store(store_id, options.concurrency)
    return rows


def _report_indexing(report: Report, step: str, total: int, done: int) -> None:
    report(step, done, total)


def _row(
    questions: QuestionSet, chunking: str, mode: str, results: dict[str, SearchOutcome], size: dict[str, int]
) -> StrategyRow:
    rankings = {query_id: result.document_ids for query_id, result in results.items()}
    values = measure(rankings, questions.qrels, (K,))
    return StrategyRow(
        set_name=questions.name,
        chunking=chunking,
        mode=mode,
        num_queries=len(results),
        ndcg=fmean(values[MAIN_METRIC]),
        recall=fmean(values[f"recall@{K}"]),
        answered=answered(questions, results),
        num_chunks=size["num_chunks"],
        tokens_per_chunk=size["num_tokens"] / max(1, size["num_chunks"]),
        index_bytes=size["num_bytes"],
        num_degraded=sum(result.is_degraded for result in results.values()),
    )


def answered(questions: QuestionSet, results: dict[str, SearchOutcome]) -> float | None:
    """Fraction of the questions with known answers for which a best passage contains one of them."""
    judged = [query_id for query_id in results if questions.answers.get(query_id)]
    if not judged:
        return None
    return fmean(_contains(results[query_id].texts, questions.answers[query_id]) for query_id in judged)


def _contains(texts: Sequence[str], answers: Sequence[str]) -> bool:
    """Whether a text contains an answer, whatever the case and the white space."""
    passages = [_plain(text) for text in texts]
    return any(_plain(answer) in passage for answer in answers for passage in passages)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def print_rows(console: Console, rows: Sequence[StrategyRow]) -> None:
    """A table a set. The best figure of each measure is bold."""
    by_set: dict[str, list[StrategyRow]] = {}
    for row in rows:
        by_set.setdefault(row.set_name, []).append(row)
    for name, of_set in by_set.items():
        console.print(f"{name}: {of_set[0].num_queries:,} questions", markup=False, style="bold")
        console.print(_table(of_set))
    degraded = sum(row.num_degraded for row in rows)
    if degraded:
        console.print(f"{degraded:,} searches skipped a stage; the figures are not those of the full mode")


def _table(rows: Sequence[StrategyRow]) -> Table:
    table = Table("chunking", "mode")
    for title in ("nDCG@10", "recall@10", "answer in top 5", "chunks", "tokens a chunk", "index kB"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        quality = (_cell(row, rows, lambda r: r.ndcg), _cell(row, rows, lambda r: r.recall))
        contained = "" if row.answered is None else _cell(row, rows, lambda r: r.answered or 0.0)
        size = (f"{row.num_chunks:,}", f"{row.tokens_per_chunk:.0f}", f"{row.index_bytes / KB:,.0f}")
        table.add_row(row.chunking, row.mode, *quality, contained, *size)
    return table


def _cell(row: StrategyRow, rows: Sequence[StrategyRow], figure: Callable[[StrategyRow], float]) -> str:
    cell = f"{figure(row):.3f}"
    return f"[bold]{cell}[/bold]" if figure(row) == max(map(figure, rows)) else cell


def save_rows(path: Path, rows: Sequence[StrategyRow]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(TypeAdapter(list[StrategyRow]).dump_json(list(rows), indent=1) + b"\n")
