"""A question set small enough to check by hand, and runs built from given values."""

import json
from pathlib import Path

from serve.cli.eval.run import ModeRun, Run, SetRun

DOCUMENTS = {
    "kestrel": ("Kestrel", "A kestrel hovers over open fields and hunts voles."),
    "heron": ("Heron", "A grey heron stands in shallow water and waits for fish."),
    "swift": ("", "Swifts sleep on the wing and land only to nest."),
    "a/b c?": ("Odd id", "A lapwing tumbles over wet meadows in spring."),
}
QUERIES = {"q1": "Which bird hunts voles?", "q2": "Who waits for fish in the water?", "q3": "Which bird sleeps flying?"}
QRELS = [("q1", "kestrel", 2), ("q1", "swift", 1), ("q2", "heron", 1), ("q3", "swift", 1)]


def write_set(folder: Path) -> Path:
    """Write the sample in BEIR's layout."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": document_id, "title": title, "text": text} for document_id, (title, text) in DOCUMENTS.items()]
    queries = [{"_id": query_id, "text": text} for query_id, text in QUERIES.items()]
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", queries)
    rows = ["\t".join(map(str, row)) for row in [("query-id", "corpus-id", "score"), *QRELS]]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def set_run(values: dict[str, dict[str, list[float]]], name: str = "birds", digest: str = "d1") -> SetRun:
    """`values`: by mode, then metric. The queries are q0, q1 and so on."""
    num_queries = len(next(iter(next(iter(values.values())).values())))
    return SetRun(
        name=name,
        digest=digest,
        num_documents=4,
        left_out={},
        query_ids=[f"q{number}" for number in range(num_queries)],
        modes={mode: ModeRun(body={}, values=metrics) for mode, metrics in values.items()},
    )


def run_of(*sets: SetRun, model: str = "minilm") -> Run:
    return Run(created_at="2026-11-21T00:00:00+00:00", settings={"seed": 0}, models={"embed": model}, sets=list(sets))
