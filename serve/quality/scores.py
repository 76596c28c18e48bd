"""The scores of an answer, 0 to 1 each: what can be told without a human."""

from models.generation.support import Statement, is_claim, is_supported, statements
from models.types.chunks import Passage
from serve.pipelines.answering import Answered

SCORES = ("evidence", "top_score", "declined", "support", "citation_support")


def score_answer(answered: Answered) -> dict[str, float]:
    """The scores that the answer has, by name; none for a greeting, which is not searched. It takes some milliseconds.

    evidence, top_score (of the best passage), declined (0 or 1). Of an answer that was not declined, support: the
    fraction of its claims, or of its JSON fields, that some passage supports; and citation_support: the fraction of its
    cited sentences that a passage supports which they cite.
    """
    if not answered.search_query:
        return {}
    scores = {"declined": float(not answered.answerable)}
    if answered.evidence is not None:
        scores["evidence"] = answered.evidence
    if answered.passages:
        scores["top_score"] = answered.passages[0].score
    if answered.answerable:
        scores |= _support(answered)
    return scores


def _support(answered: Answered) -> dict[str, float]:
    if answered.fields:
        return {"support": _mean([field.is_supported for field in answered.fields])}
    claims = [each for each in statements(answered.text) if is_claim(each.text)]
    supported = [is_supported(claim.text, answered.passages) for claim in claims]
    cited = [is_supported(claim.text, passages) for claim in claims if (passages := _cited_by(claim, answered))]
    scores = {"support": supported, "citation_support": cited}
    return {name: _mean(values) for name, values in scores.items() if values}


def _cited_by(claim: Statement, answered: Answered) -> list[Passage]:
    """The passages that the markers in a statement cite."""
    by_id = {citation.id: citation.passage for citation in answered.citations}
    markers = [marker for marker in answered.markers if claim.start <= marker.start < claim.end]
    return [by_id[marker.citation_id] for marker in markers if marker.citation_id in by_id]


def _mean(values: list[bool]) -> float:
    return sum(values) / len(values)
