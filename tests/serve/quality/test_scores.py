"""Answers are scored in the background, and questions about something else move the scores."""

import asyncio
from dataclasses import replace
from pathlib import Path

from prometheus_client import REGISTRY

from models.generation.citations import Citation, Marker
from models.generation.structured import FieldSupport
from models.types.chunks import Passage
from serve.pipelines.answering import Answered
from serve.pipelines.trace import Trace
from serve.quality.scores import score_answer
from serve.settings import Settings
from tests.patience import PATIENCE_S
from tests.serve.api.response_samples import serving

OVEN = Passage(1, "c1", "file-a", "ovens.md", "The oven heats to 250 degrees.", 0, 30, score=0.75)
MILL = Passage(2, "c2", "file-a", "mills.md", "The mill opens in winter.", 0, 25, score=0.5)
TEXT = "The oven heats to 250 degrees. [1] The mill opens in summer of 1999. [2]"
ANSWER = Answered(
    TEXT,
    (Citation(1, OVEN, OVEN.text, 0, 30, 1.0), Citation(2, OVEN, OVEN.text, 0, 30, 0.1)),
    (OVEN, MILL),
    "stop",
    0,
    0,
    Trace(),
    (Marker(1, 31, 34), Marker(2, 69, 72)),
    evidence=0.9,
    search_query="How hot?",
)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_answer_is_scored_by_its_sentences() -> None:
    assert score_answer(ANSWER) == {
        "declined": 0.0,
        "evidence": 0.9,
        "top_score": 0.75,
        "support": 0.5,  # no passage has 1999
        "citation_support": 0.5,
    }


def test_a_sentence_that_cites_the_wrong_passage_is_supported_but_not_by_its_citation() -> None:
    text = "The mill opens in winter. [1]"
    wrong = replace(ANSWER, text=text, citations=ANSWER.citations[:1], markers=(Marker(1, 26, 29),))

    scores = score_answer(wrong)

    assert (scores["support"], scores["citation_support"]) == (1.0, 0.0)


def test_a_declined_answer_a_greeting_and_json_are_scored_by_what_they_have() -> None:
    declined = replace(ANSWER, answerable=False, evidence=0.1, passages=())
    fields = (FieldSupport("/a", (1,)), FieldSupport("/b", (), is_supported=False))

    assert score_answer(declined) == {"declined": 1.0, "evidence": 0.1}
    assert score_answer(replace(ANSWER, search_query="")) == {}
    assert score_answer(replace(ANSWER, text='{"a": 1}', fields=fields))["support"] == 0.5


async def test_questions_about_something_else_raise_the_drift(tmp_path: Path) -> None:
    drift = {"reference": "ovens", "reference_size": 50, "window": 50}
    settings = Settings.model_validate({"quality": {"scoring": {"share": 1, "drift": drift}}})
    async with serving(tmp_path, settings) as service, service.http() as http:
        for phase, question in enumerate(("How hot does the oven get in minute {}?", "Who won cup {} in chess?")):
            for number in range(50):
                begun = sample("ragserve_sampled_answers_total", outcome="scored")
                await http.post("/v1/query", json={"query": question.format(number)})
                async with asyncio.timeout(PATIENCE_S):
                    while sample("ragserve_sampled_answers_total", outcome="scored") == begun:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            if not phase:
                assert sample("ragserve_score_reference_answers") == 50

    assert sample("ragserve_score_psi", score="evidence") > 0.25
    assert sample("ragserve_score_ks", score="evidence") > 0.5
    assert sample("ragserve_answer_score_count", score="evidence") >= 100
