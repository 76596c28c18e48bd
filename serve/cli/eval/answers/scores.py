"""The metrics of one answer, each 0 to 1, higher is better. A metric that does not apply is absent.

answered: the question was not declined, though the documents answer it (1 - declined wrongly)
declined: it was declined, as it should be (declined rightly)
gold answer: the answer has a gold answer, or a gold sentence
gold words: the fraction of a free gold answer's content words that the answer has
citation precision: the fraction of citations that are of a gold sentence, or of a relevant document
citation recall: the fraction of gold sentences, or of relevant documents, that are cited
faithfulness: the fraction of sentences that their citations support
"""

from collections.abc import Sequence

from models.generation.relevance import STOP_WORDS
from models.generation.words import stem, words
from serve.cli.eval.answers.cases import ANSWERABLE, AnswerCase, Gold
from serve.cli.eval.answers.judges import Judge
from serve.cli.eval.answers.outcome import Cite, Outcome

METRICS = (
    "answered",
    "declined",
    "gold answer",
    "gold words",
    "citation precision",
    "citation recall",
    "faithfulness",
)
SAME_SENTENCE = 0.8  # the fraction of the shorter one's words that two forms of one sentence share
_ARTICLES = ("a ", "an ", "the ")


def scores(case: AnswerCase, outcome: Outcome, judge: Judge) -> dict[str, float]:
    """The metrics that apply, in the order of METRICS."""
    measured: dict[str, float] = {}
    if case.kind not in ANSWERABLE:
        measured["declined"] = float(outcome.is_declined)
    else:
        measured["answered"] = float(not outcome.is_declined)
        measured |= _against_gold(case.gold, outcome)
    claims = [] if outcome.is_declined else outcome.claims
    if claims:
        supported = judge.supports(claims)
        measured["faithfulness"] = sum(supported) / len(supported)
    return measured


def _against_gold(gold: Gold, outcome: Outcome) -> dict[str, float]:
    measured: dict[str, float] = {}
    text = "" if outcome.is_declined else outcome.plain_text
    if gold.answers or gold.sentences:
        measured["gold answer"] = float(any(_contains(text, answer) for answer in gold.answers or gold.sentences))
    if gold.text and not gold.answers:
        measured["gold words"] = _recall(gold.text, text)
    if outcome.cites and not outcome.is_declined:
        measured["citation precision"] = sum(_is_right(cite, gold) for cite in outcome.cites) / len(outcome.cites)
    measured["citation recall"] = _cited(gold, () if outcome.is_declined else outcome.cites)
    return measured


def _contains(text: str, answer: str) -> bool:
    """Whether the words of `answer`, without an article before them, stand in the text in their order."""
    plain = " ".join(words(answer))
    for article in _ARTICLES:
        plain = plain.removeprefix(article)
    return f" {plain} " in f" {' '.join(words(text))} "


def _recall(gold: str, text: str) -> float:
    expected = {stem(word) for word in words(gold) if word not in STOP_WORDS}
    return len(expected & set(map(stem, words(text)))) / len(expected) if expected else 0.0


def _is_right(cite: Cite, gold: Gold) -> bool:
    if gold.sentences:
        return any(_same(cite.quote, sentence) for sentence in gold.sentences)
    return cite.document_id in gold.documents


def _cited(gold: Gold, cites: Sequence[Cite]) -> float:
    if gold.sentences:
        hits = [any(_same(cite.quote, sentence) for cite in cites) for sentence in gold.sentences]
        return sum(hits) / len(hits)
    return len(gold.documents & {cite.document_id for cite in cites}) / len(gold.documents)


def _same(left: str, right: str) -> bool:
    """Whether one sentence has nearly all words of the other."""
    left_words, right_words = set(words(left)), set(words(right))
    shorter = min(len(left_words), len(right_words))
    return shorter > 0 and len(left_words & right_words) >= SAME_SENTENCE * shorter
