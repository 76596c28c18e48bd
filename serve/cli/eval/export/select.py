"""Choose questions and their relevant files from feedback and from the question log."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass
class Question:
    """A question with the files that answer it, and known answers. `question_id` is a request's id."""

    question_id: str
    text: str
    file_ids: list[str]
    answers: list[str] = field(default_factory=list)

    def merge(self, other: "Question") -> None:
        """Add what another request with the same question knows."""
        self.file_ids += [file_id for file_id in other.file_ids if file_id not in self.file_ids]
        self.answers += [answer for answer in other.answers if answer not in self.answers]


@dataclass(frozen=True)
class Selection:
    """The questions, and how many requests were left out, by reason."""

    questions: list[Question]
    left_out: Counter[str]


def select_questions(
    feedback: Iterable[Row], log: Iterable[Row], store: str, min_evidence: float | None = None
) -> Selection:
    """The questions that can be measured, each text once.

    The relevant files are those that the feedback names; without them, those that a good answer cited. `min_evidence`:
    also take logged answers without feedback that had that much evidence. None: only judged ones.
    """
    logged = {row["request_id"]: row for row in log if store in row["vector_store_ids"]}
    judged = {entry["id"]: entry for entry in feedback}
    left_out, questions = Counter[str](), dict[str, Question]()
    for request_id, entry in judged.items():
        _take(_judged_question(entry, logged.get(request_id)), questions, left_out)
    if min_evidence is not None:
        for row in logged.values():
            if row["request_id"] not in judged:
                _take(_logged_question(row, min_evidence), questions, left_out)
    return Selection(list(questions.values()), left_out)


def _take(question: Question | str, questions: dict[str, Question], left_out: Counter[str]) -> None:
    """Add the question, or count why there is none."""
    if isinstance(question, str):
        left_out[question] += 1
        return
    key = " ".join(question.text.split()).casefold()
    if key in questions:
        questions[key].merge(question)
    else:
        questions[key] = question


def _judged_question(entry: Row, row: Row | None) -> Question | str:
    """The question, or the reason why it cannot be measured."""
    text = entry["query"] or (row["search_query"] or row["question"] if row else "")
    if not text.strip():
        return "feedback without a question, of a request that is not in the log"
    cited = list(row["cited_file_ids"]) if row and entry["rating"] == "good" else []
    if not entry["file_ids"] and not cited:
        return "feedback without a file that answers the question"
    answers = [entry["answer"]] if entry["answer"] else []
    return Question(entry["id"], text, list(entry["file_ids"]) or cited, answers)


def _logged_question(row: Row, min_evidence: float) -> Question | str:
    if not row["cited_file_ids"] or not row["answerable"]:
        return "logged answers without citations"
    if row["evidence"] is None or row["evidence"] < min_evidence:
        return "logged answers with less evidence"
    return Question(row["request_id"], row["search_query"] or row["question"], list(row["cited_file_ids"]))
