"""Ask every case of a set, and measure the answers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serve.cli.eval.answers.cases import KINDS, AnswerCase, AnswerSet
from serve.cli.eval.answers.judges import Judge
from serve.cli.eval.answers.outcome import Answerer
from serve.cli.eval.answers.run import DECIMALS, AnswersOfSet, KindRun
from serve.cli.eval.answers.scores import METRICS, scores

Measured = tuple[AnswerCase, dict[str, float]]


def measure_set(
    answer_set: AnswerSet, answerer: Answerer, judge: Judge, concurrency: int, on_progress: Callable[[int], None]
) -> AnswersOfSet:
    """`on_progress` gets the number of measured cases. Raises RagError of the answerer and the judge."""
    measured = list[Measured]()
    with ThreadPoolExecutor(concurrency) as pool:
        outcomes = pool.map(lambda case: answerer.answer(case.messages), answer_set.cases)
        for case, outcome in zip(answer_set.cases, outcomes, strict=True):
            measured.append((case, scores(case, outcome, judge)))
            on_progress(len(measured))
    questions = answer_set.questions
    kinds = {kind: [pair for pair in measured if pair[0].kind == kind] for kind in KINDS}
    runs = {kind: _kind_run(own) for kind, own in kinds.items() if own}
    return AnswersOfSet(
        name=questions.name, digest=questions.digest, num_documents=len(questions.documents), kinds=runs
    )


def _kind_run(measured: list[Measured]) -> KindRun:
    values = {
        metric: {case.case_id: round(own[metric], DECIMALS) for case, own in measured if metric in own}
        for metric in METRICS
    }
    return KindRun(num_cases=len(measured), values={metric: cases for metric, cases in values.items() if cases})
