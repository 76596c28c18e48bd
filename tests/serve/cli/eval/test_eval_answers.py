"""`ragserve eval answers`: cases, metrics, gates, comparisons, and the command's exit codes."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from models.errors.requests import InvalidRequestError
from models.types.arrays import FloatArray
from models.types.generation import ChatMessage
from serve.cli.eval.answers.cases import AnswerCase, Gold, Sizes, read_answer_sets
from serve.cli.eval.answers.compare import Gate, below, compare_answers
from serve.cli.eval.answers.judges import ChatJudge, OverlapJudge
from serve.cli.eval.answers.measure import measure_set
from serve.cli.eval.answers.outcome import Cite, Claim, Outcome
from serve.cli.eval.answers.report import draw_answers
from serve.cli.eval.answers.run import AnswerRun, AnswersOfSet, KindRun
from serve.cli.eval.answers.scores import scores
from serve.cli.main import app
from tests.serve.cli.eval.answers_samples import write_answer_set

DAM = "It is 85 metres high."
WHEEL = "Its wheel has forty blades."
CITED = Outcome(f"{DAM} [1] The wheel has forty blades. [2]", (Cite(1, "dam", DAM), Cite(2, "mill", WHEEL)), False)
DECLINED = Outcome("The documents do not answer this question.", (), True)


def no_vectors(texts: list[str]) -> FloatArray:
    raise AssertionError("the words suffice")


JUDGE = OverlapJudge(no_vectors)


def case(gold: Gold, kind: str = "first question") -> AnswerCase:
    return AnswerCase("q", kind, (ChatMessage("user", "How high is the dam?"),), gold)  # type: ignore[arg-type]


def run_of(name: str = "set", **kinds: dict[str, list[float]]) -> AnswerRun:
    """The values of each metric by kind; the cases are 0, 1 and so on."""
    runs = {
        kind.replace("_", " "): KindRun(
            num_cases=2,
            values={metric: {str(place): value for place, value in enumerate(row)} for metric, row in values.items()},
        )
        for kind, values in kinds.items()
    }
    measured = AnswersOfSet(name=name, digest="d", num_documents=3, kinds=runs)
    return AnswerRun(created_at="2026-11-28T00:00:00+00:00", settings={}, models={}, sets=[measured])


def test_every_kind_of_turn_is_read(tmp_path: Path) -> None:
    folders = [write_answer_set(tmp_path / name) for name in ("first", "second")]

    first, _ = read_answer_sets(folders, Sizes(None, None, num_off_topic=1, seed=0))

    kinds = {case.case_id: case.kind for case in first.cases if not case.case_id.startswith("small talk")}
    assert kinds.pop(next(name for name in kinds if name.startswith("second "))) == "off topic"
    assert kinds == {
        "q1": "first question",
        "q2": "first question",
        "q3": "follow-up",
        "q4": "unanswerable",
        "q5": "small talk",
    }
    assert {case.gold for case in first.cases if case.case_id in ("q4", "q5")} == {Gold()}


def test_a_question_whose_documents_are_left_out_is_not_asked(tmp_path: Path) -> None:
    folder = write_answer_set(tmp_path / "set")

    [only] = read_answer_sets([folder], Sizes(1, None, num_off_topic=0, seed=0))

    assert {case.case_id for case in only.cases} & {"q1", "q2", "q3"} == {"q1", "q3"}


def test_metrics_against_gold_sentences() -> None:
    gold = Gold(
        text="85 metres",
        sentences=("It is 85 metres high .", "It was finished in 1931 ."),
        documents=frozenset({"dam"}),
    )

    measured = scores(case(gold), CITED, JUDGE)

    assert measured == {
        "answered": 1.0,
        "gold answer": 1.0,
        "gold words": 1.0,
        "citation precision": 0.5,
        "citation recall": 0.5,
        "faithfulness": 1.0,
    }


def test_metrics_against_relevant_documents() -> None:
    gold = Gold(answers=("The 85 Metres",), documents=frozenset({"dam", "fair"}))

    measured = scores(case(gold), CITED, JUDGE)

    assert (measured["gold answer"], measured["citation precision"], measured["citation recall"]) == (1.0, 0.5, 0.5)


def test_a_wrongly_declined_question_has_neither_answer_nor_citation() -> None:
    measured = scores(case(Gold(answers=("85",), documents=frozenset({"dam"}))), DECLINED, JUDGE)

    assert measured == {"answered": 0.0, "gold answer": 0.0, "citation recall": 0.0}


@pytest.mark.parametrize(("outcome", "declined"), [(DECLINED, 1.0), (CITED, 0.0)])
def test_other_questions_should_be_declined(outcome: Outcome, declined: float) -> None:
    assert scores(case(Gold(), "off topic"), outcome, JUDGE)["declined"] == declined


def test_a_sentence_without_a_citation_has_no_support() -> None:
    text = f"{DAM} [1] Giants built the tower. [1] It is high."

    measured = scores(
        case(Gold(documents=frozenset({"dam"}))), Outcome(text, (Cite(1, "dam", DAM),), False), JUDGE_WITH_ZEROS
    )

    assert measured["faithfulness"] == pytest.approx(1 / 3, abs=1e-3)


JUDGE_WITH_ZEROS = OverlapJudge(lambda texts: np.eye(len(texts), dtype=np.float32))


def test_vectors_decide_where_words_are_too_few() -> None:
    claim = Claim("Youngsters pay nothing.", ("Entry is free for children.",))
    wrong_number = Claim("Youngsters pay 3 coins.", claim.quotes)
    alike = OverlapJudge(lambda texts: np.ones((len(texts), 1), np.float32))

    assert alike.supports([claim, wrong_number]) == [True, False]
    assert JUDGE_WITH_ZEROS.supports([claim]) == [False]


def test_a_language_model_judges_by_yes_or_no() -> None:
    judge = ChatJudge(lambda prompt: "Yes." if "rye" in prompt else "I cannot say")

    assert judge.supports([Claim("It grinds rye.", ("rye",)), Claim("It sings.", ("song",)), Claim("Rye.", ())]) == [
        True,
        False,
        False,
    ]


def test_a_gate_of_a_kind_replaces_that_of_every_kind() -> None:
    run = run_of(**{"first_question": {"answered": [1, 0]}, "follow-up": {"answered": [1, 0]}})

    lines = below(run, [Gate.parse("answered=0.9"), Gate.parse("follow-up/answered=0.4")])

    assert lines == ["set, first question: answered is 0.500; the gate is 0.9"]


@pytest.mark.parametrize("text", ["", "answered", "answered=x", "answered=2", "nobody/answered=1", "speed=1"])
def test_an_invalid_gate_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Gate.parse(text)


def test_runs_are_compared_case_by_case(tmp_path: Path) -> None:
    old, new = run_of(off_topic={"declined": [1, 1]}), run_of(off_topic={"declined": [1, 0]})
    old.save(tmp_path / "run.json")

    [difference] = compare_answers(AnswerRun.load(tmp_path / "run.json"), new)

    assert (difference.mode, difference.metric, difference.change.mean) == ("off topic", "declined", -0.5)
    assert difference.fell_by_more_than(0.01)


def test_runs_without_anything_in_common_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"created_at": "now"}')

    with pytest.raises(InvalidRequestError, match="in common"):
        compare_answers(run_of("a", off_topic={"declined": [1]}), run_of("b", off_topic={"declined": [1]}))
    with pytest.raises(InvalidRequestError, match="not a saved run"):
        AnswerRun.load(tmp_path / "run.json")


def test_a_set_is_measured_and_drawn(tmp_path: Path) -> None:
    [answer_set] = read_answer_sets([write_answer_set(tmp_path / "set")], Sizes(None, None, 0, 0))

    class Declining:
        """Answers nothing."""

        def answer(self, messages: object) -> Outcome:
            return DECLINED

    measured = measure_set(answer_set, Declining(), JUDGE, 2, lambda done: None)
    draw_answers([measured], tmp_path / "answers.svg")

    assert {kind: cases.num_cases for kind, cases in measured.kinds.items()}["first question"] == 2
    assert measured.kinds["small talk"].estimates["declined"].mean == 1.0
    assert "follow-up (1)" in (tmp_path / "answers.svg").read_text()


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--gate", "speed=1"], "is not METRIC=VALUE"),
        (["--plot", "run.doc"], "must end in .png"),
        (["--compare", "missing.json"], "cannot be read"),
    ],
)
def test_invalid_input_exits_with_2(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = run_command("answers", write_answer_set(tmp_path / "set"), *arguments)

    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())


def test_a_folder_without_a_command_measures_retrieval(tmp_path: Path) -> None:
    result = run_command(write_answer_set(tmp_path / "set"), "--modes", "dens")

    assert result.exit_code == 2
    assert "did you mean 'dense'?" in result.output
