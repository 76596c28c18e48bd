"""`ragserve eval` through the running service: what it reports is what its run files say, and what it leaves behind."""

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import ir_measures
import pytest
import typer
from ir_measures import RR, P, R, nDCG
from typer.testing import CliRunner, Result

from serve.cli.driver.question_set import read_question_set
from serve.cli.eval.command import evaluate
from serve.cli.eval.modes import DEFAULT_MODES
from serve.cli.remote import RemoteService
from tests.conftest import SHARED_DATA, Service

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

NUM_DOCUMENTS, NUM_QUERIES = 150, 60
MEASURES = {"nDCG@10": nDCG @ 10, "MRR@10": RR @ 10, "recall@5": R @ 5, "precision@5": P @ 5}

app = typer.Typer(rich_markup_mode=None)
app.command("eval")(evaluate)


def run_eval(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def question_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real searches with their documents, if the shared data is there; otherwise a generated set."""
    folder = tmp_path_factory.mktemp("questions") / "eval_sample"
    (folder / "qrels").mkdir(parents=True)
    real = SHARED_DATA / "nq_qed"
    documents, queries, qrels = read_sample(real) if real.is_dir() else generated_set()
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", queries)
    rows = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in qrels)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


def read_sample(folder: Path) -> tuple[list[dict[str, str]], list[dict[str, str]], list[tuple[str, str]]]:
    """The first documents, and the first queries that these documents answer."""
    with gzip.open(folder / "corpus.jsonl.gz", "rt") as lines:
        documents = [json.loads(line) for line in lines][:NUM_DOCUMENTS]
    document_ids = {document["_id"] for document in documents}
    with (folder / "qrels.tsv").open(newline="") as lines:
        rows = [(row["query-id"], row["corpus-id"]) for row in csv.DictReader(lines, delimiter="\t")]
    qrels = [row for row in rows if row[1] in document_ids][:NUM_QUERIES]
    query_ids = {query_id for query_id, _ in qrels}
    with gzip.open(folder / "queries.jsonl.gz", "rt") as lines:
        queries = [query for query in map(json.loads, lines) if query["_id"] in query_ids]
    return documents, queries, qrels


def generated_set() -> tuple[list[dict[str, str]], list[dict[str, str]], list[tuple[str, str]]]:
    trades = ["baker", "cooper", "tanner", "weaver", "glazier", "mason", "potter", "miller", "tailor", "farrier"]
    documents = [
        {"_id": trade, "title": "", "text": f"The {trade} of the village charges {place + 3} shillings a day."}
        for place, trade in enumerate(trades)
    ]
    queries = [{"_id": f"q-{trade}", "text": f"What does the {trade} charge?"} for trade in trades]
    return documents, queries, [(f"q-{trade}", trade) for trade in trades]


def write_lines(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@dataclass(frozen=True)
class Evaluated:
    """One run of the command: its arguments, and the folder with its files."""

    arguments: tuple[object, ...]
    folder: Path

    @property
    def saved(self) -> dict[str, Any]:
        return json.loads((self.folder / "run.json").read_text())

    @property
    def modes(self) -> dict[str, Any]:
        return self.saved["sets"][0]["modes"]


@pytest.fixture(scope="module")
def evaluated(service: Service, question_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluated")
    arguments = (question_set, "--url", service.url, "--concurrency", 4)
    files = ("--save", folder / "run.json", "--run-files", folder, "--plot", folder / "run.png")

    result = run_eval(*arguments, *files)

    assert result.exit_code == 0, (result.output, result.exception)
    return Evaluated(arguments, folder)


def eval_stores(url: str) -> list[dict[str, Any]]:
    stores = httpx.get(f"{url}/v1/vector_stores", params={"limit": 100}, trust_env=False).json()["data"]
    return [store for store in stores if store["name"].startswith("eval:eval_sample:")]


def test_reported_metrics_match_the_run_files(evaluated: Evaluated) -> None:
    qrels = list(ir_measures.read_trec_qrels(str(evaluated.folder / "eval_sample.qrels")))

    for mode in DEFAULT_MODES:
        run = list(ir_measures.read_trec_run(str(evaluated.folder / f"eval_sample.{mode}.run")))
        means = ir_measures.calc_aggregate(list(MEASURES.values()), qrels, run)
        values = evaluated.modes[mode]["values"]
        assert {name: sum(values[name]) / len(values[name]) for name in MEASURES} == pytest.approx(
            {name: means[measure] for name, measure in MEASURES.items()}, abs=1e-5
        )


def test_relevant_documents_are_retrieved(evaluated: Evaluated) -> None:
    assert list(evaluated.modes) == list(DEFAULT_MODES)
    for mode in evaluated.modes.values():
        recalls = mode["values"]["recall@5"]
        assert sum(recalls) / len(recalls) >= 0.9
        assert mode["num_degraded"] == 0


def test_the_run_is_saved_with_its_models_and_plotted(evaluated: Evaluated) -> None:
    assert evaluated.saved["models"]
    assert (evaluated.folder / "run.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_reuses_the_store_and_finds_no_difference(service: Service, evaluated: Evaluated) -> None:
    before = eval_stores(service.url)

    result = run_eval(*evaluated.arguments, "--modes", "bm25", "--compare", evaluated.folder / "run.json")

    assert result.exit_code == 0, (result.output, result.exception)
    assert [store["id"] for store in eval_stores(service.url)] == [store["id"] for store in before]
    assert len(before) == 1
    assert "mode of eval_sample reranked: only in the saved run" in result.output
    assert "6 metrics are the same for every question" in result.output


def test_a_drop_against_the_saved_run_exits_with_1(service: Service, evaluated: Evaluated, tmp_path: Path) -> None:
    better = evaluated.saved
    better["sets"][0]["modes"]["bm25"]["values"]["precision@10"] = [0.9] * len(better["sets"][0]["query_ids"])
    (tmp_path / "better.json").write_text(json.dumps(better))

    result = run_eval(*evaluated.arguments, "--modes", "bm25", "--compare", tmp_path / "better.json")

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (fallen,) = (line for line in result.output.splitlines() if "fell" in line)
    assert "precision@10" in fallen


def test_another_chunking_gets_its_own_store_which_delete_removes(
    service: Service, question_set: Path, evaluated: Evaluated
) -> None:
    before = eval_stores(service.url)
    small = question_set.parent / "small" / "eval_sample"
    small.mkdir(parents=True)
    documents = [json.loads(line) for line in (question_set / "corpus.jsonl").read_text().splitlines()][:5]
    write_lines(
        small / "corpus.jsonl", [document | {"text": f"{document['text']} Once more."} for document in documents]
    )
    write_lines(small / "queries.jsonl", [{"_id": "q", "text": documents[0]["text"][:80]}])
    (small / "qrels.tsv").write_text(f"q\t{documents[0]['_id']}\t1\n")

    result = run_eval(small, "--url", service.url, "--modes", "default", "--chunking", "auto", "--delete")
    compared = run_eval(small, "--url", service.url, "--chunking", "sentence_window,semantic", "--delete")

    assert result.exit_code == 0, (result.output, result.exception)
    assert "1.000 ±0.000" in result.output
    assert compared.exit_code == 0, (compared.output, compared.exception)
    assert len([line for line in compared.output.splitlines() if "default" in line and "1.000" in line]) == 2
    assert eval_stores(service.url) == before
    with RemoteService(service.url) as remote:
        names = remote.file_ids_by_name()
    assert [name for name in names if read_question_set(small).digest in name] == []
    assert [name for name in names if read_question_set(question_set).digest in name] != []
