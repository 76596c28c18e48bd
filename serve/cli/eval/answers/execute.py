"""Run `eval answers`: over the sets in memory, or in stores of a running service."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from serve.cli.driver.evaluated_service import Corpus, EvaluatedService
from serve.cli.driver.offline_retrieval import OfflineRetrieval
from serve.cli.driver.offline_search import ALIAS, OfflineSearch
from serve.cli.eval.answers.cases import AnswerSet
from serve.cli.eval.answers.in_process import InProcessAnswerer
from serve.cli.eval.answers.judges import Judge, open_judge
from serve.cli.eval.answers.measure import measure_set
from serve.cli.eval.answers.outcome import Answerer
from serve.cli.eval.answers.over_http import HttpAnswerer, reply_of
from serve.cli.eval.answers.report import print_answers
from serve.cli.eval.answers.run import AnswerRun, AnswersOfSet
from serve.cli.eval.evaluate import Report
from serve.cli.eval.execute import progress_bar
from serve.cli.options import table_console

TABLE_WIDTH = 150
IN_PROCESS: dict[str, str | None] = {"embed": ALIAS, "generate": "extractive"}

OnIndexed = Callable[[int], None]
Open = Callable[[AnswerSet, OnIndexed], Answerer]


def execute(
    sets: Sequence[AnswerSet], settings: dict[str, Any], url: str | None, judge_alias: str | None, concurrency: int
) -> AnswerRun:
    """Measures and prints one set after the other. Raises InvalidRequestError, RemoteError."""
    if url is None:
        judge, search = open_judge(judge_alias, None), OfflineSearch()
        measured = _measure_all(sets, partial(_offline, search), judge, 1)
        return _run(measured, settings, IN_PROCESS)
    with EvaluatedService(url) as service:
        judge = open_judge(judge_alias, partial(reply_of, service, judge_alias or ""))
        models = {name: stage["model"] for name, stage in service.readiness()["stages"].items() if stage["model"]}
        measured = _measure_all(sets, partial(_remote, service, concurrency), judge, concurrency)
    return _run(measured, settings, models)


def _measure_all(sets: Sequence[AnswerSet], open_answerer: Open, judge: Judge, concurrency: int) -> list[AnswersOfSet]:
    console, measured = table_console(TABLE_WIDTH), list[AnswersOfSet]()
    for answer_set in sets:
        name, num_documents = answer_set.questions.name, len(answer_set.questions.documents)
        with progress_bar(console) as report:
            answerer = open_answerer(answer_set, partial(_report, report, f"{name}: indexing", num_documents))
            on_answer = partial(_report, report, f"{name}: answers", len(answer_set.cases))
            measured.append(measure_set(answer_set, answerer, judge, concurrency, on_answer))
        print_answers(console, measured[-1])
    return measured


def _report(report: Report, step: str, total: int, done: int) -> None:
    report(step, done, total)


def _offline(search: OfflineSearch, answer_set: AnswerSet, on_indexed: OnIndexed) -> Answerer:
    on_indexed(0)
    return InProcessAnswerer(OfflineRetrieval(search, search.corpus(answer_set.questions.documents)))


def _remote(service: EvaluatedService, concurrency: int, answer_set: AnswerSet, on_indexed: OnIndexed) -> Answerer:
    corpus = Corpus.of(answer_set.questions, "auto")
    return HttpAnswerer(service, service.ensure_indexed(corpus, concurrency, on_indexed), corpus)


def _run(sets: list[AnswersOfSet], settings: dict[str, Any], models: dict[str, str | None]) -> AnswerRun:
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    return AnswerRun(created_at=created_at, settings=settings, models=models, sets=sets)
