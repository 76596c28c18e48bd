"""The files to ingest: many of one document, and a few of many documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from serve.cli.bench.ingest.rows import IngestPlan
from serve.cli.driver.question_set import read_question_set

ROOT = Path(__file__).parents[4]
MIN_CHARS = 40  # of a paragraph of our own pages


@dataclass(frozen=True)
class Workload:
    """The folder of the files, and questions about them."""

    folder: Path
    questions: tuple[str, ...]


def write_files(plan: IngestPlan, folder: Path) -> Workload:
    """Writes the files as plain text. Documents repeat, with a number, if there are too few.

    Raises InvalidRequestError for a question set that is missing or broken.
    """
    documents, questions = _own() if plan.documents is None else _of_set(plan.documents)
    texts = _numbered(documents)
    folder.mkdir(parents=True)
    for number, text in enumerate(islice(texts, plan.num_files)):
        (folder / f"document-{number:06}.txt").write_text(text, encoding="utf-8")
    for number in range(plan.num_large):
        content = "\n\n".join(islice(texts, plan.large_documents))
        (folder / f"large-{number:03}.txt").write_text(content, encoding="utf-8")
    return Workload(folder, questions)


def _numbered(documents: list[str]) -> Iterator[str]:
    """The documents, then again and again, each time with another number: equal files are ingested once."""
    for number, text in enumerate(cycle(documents)):
        yield text if number < len(documents) else f"{text}\nCopy {number // len(documents)}."


def _of_set(folder: Path) -> tuple[list[str], tuple[str, ...]]:
    questions = read_question_set(folder)
    return [document.content for document in questions.documents], tuple(questions.queries.values())


def _own() -> tuple[list[str], tuple[str, ...]]:
    """The paragraphs of this repository's pages, and the first sentence of each as a question."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    paragraphs = [text for page in pages for text in page.read_text(encoding="utf-8").split("\n\n")]
    documents = [text for text in paragraphs if len(text) >= MIN_CHARS and not text.startswith(("```", "|"))]
    return documents, tuple(text.partition(".")[0] for text in documents)
