"""The run of `ragserve bench ingest`: one contender after the other, each alone on the machine."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.bench.ingest import service
from serve.cli.bench.ingest.documents import ROOT, Workload, write_files
from serve.cli.bench.ingest.rows import (
    HEAD,
    LANGCHAIN,
    LLAMAINDEX,
    OFFLINE,
    OFFLINE_VECTORS,
    QUESTION_HEAD,
    IngestPlan,
    QuestionRow,
    Row,
    question_table,
    table,
    write_json,
)
from serve.cli.driver.machine import describe_machine
from serve.cli.driver.module_process import run_module
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.peers.environments import ServerStartError, environment_of
from serve.cli.driver.random_models import encoder_folder
from serve.cli.driver.servers import ragserve_with, running

TIMEOUT_S = 1800.0
LIBRARIES = {LANGCHAIN: "langchain", LLAMAINDEX: "llamaindex"}


def measure(plan: IngestPlan, output: Path | None) -> None:
    """Prints the tables and writes the rows; those that were measured are written even if a later one fails."""
    # As Ctrl-C: no server outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts, rows, questions = describe_machine(plan.threads), list[Row](), list[QuestionRow]()
    try:
        with TemporaryDirectory() as folder:
            workload = write_files(plan, Path(folder) / "documents")
            facts["ragserve's model"] = plan.model
            facts["files"] = f"{plan.num_files} of one document, {plan.num_large} of {plan.large_documents}"
            for row in run(plan, workload, Path(folder), questions, facts):
                rows.append(row)
                show_progress(f"{row.by}: {row.seconds:.1f} s, {row.per_s:.1f} chunks/s")
    finally:
        caption = "; ".join(f"{name}: {fact}" for name, fact in facts.items())
        show(caption, "", HEAD, *table(rows))
        if questions:
            show("", QUESTION_HEAD, *question_table(questions))
        if output is not None:
            write_json(output, rows, questions, facts)


def run(
    plan: IngestPlan, workload: Workload, folder: Path, questions: list[QuestionRow], facts: dict[str, str]
) -> Iterator[Row]:
    """Every row, as soon as it is measured. Adds to `questions`, and a library that is skipped to `facts`."""
    yield from _offline(plan, workload)
    yield _ragserve(plan, workload, folder, questions)
    for name, peer in LIBRARIES.items():
        try:
            yield _library(plan, name, peer, workload, folder)
        except ServerStartError as error:
            show_progress(str(error))
            facts[name] = f"skipped: {error}"


def _offline(plan: IngestPlan, workload: Workload) -> Iterator[Row]:
    argument = {"folder": str(workload.folder), "model": plan.model}
    answer = run_module("serve.cli.bench.ingest.offline", argument, TIMEOUT_S, _threads(plan))
    names = {"vectors": OFFLINE_VECTORS, "token_vectors": OFFLINE}
    for kind, seconds in answer["seconds"].items():
        yield Row(names[kind], seconds, answer["chunks"], {"process": answer["peak_mb"]})


def _ragserve(plan: IngestPlan, workload: Workload, folder: Path, questions: list[QuestionRow]) -> Row:
    idle_s = service.IDLE_S if plan.may_install else 2.0
    with running(ragserve_with(plan.config, folder, {"Embedder": plan.model}), folder, plan.threads) as server:
        row = service.ingest(server, workload.folder, DEFAULT_VECTOR_STORE)
        times = service.question_times(server, workload.folder, DEFAULT_VECTOR_STORE, workload.questions, idle_s)
        questions.extend(times)
    return row


def _library(plan: IngestPlan, name: str, peer: str, workload: Workload, folder: Path) -> Row:
    """Raises ServerStartError if it is not installed and may not be, or fails."""
    python = environment_of(peer, plan.peers, plan.may_install) / "python"
    module = f"serve.cli.driver.peers.{peer}_ingest"
    command = [str(python), "-m", module, str(workload.folder), str(encoder_folder()), str(folder / peer)]
    environment = os.environ | _threads(plan) | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False)
    if ran.returncode != 0:
        raise ServerStartError(name, ran.stderr.strip().rpartition("\n")[2])
    answer = json.loads(ran.stdout.splitlines()[-1])
    return Row(name, answer["seconds"], answer["chunks"], {"process": answer["peak_mb"]})


def _threads(plan: IngestPlan) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(plan.threads), "OPENBLAS_NUM_THREADS": "1"}  # as in the service
