"""Run the incidents, print what named each, and draw the dashboards."""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from typer import echo

from loadtests.incidents.costs import ask_and_compare
from loadtests.incidents.faults import losing_vectors, slowed, stopped
from loadtests.incidents.load import Load
from loadtests.incidents.panels import draw_dashboards
from loadtests.incidents.prometheus import Prometheus, prometheus
from loadtests.incidents.service import ROOT, Service, service
from loadtests.incidents.watch import HEADER, Row, Top, alert, dashboard, is_ready, watch
from loadtests.questions import BUILT_IN
from serve.cli.driver.question_set import read_question_set
from serve.cli.driver.workload import read_questions

NUM_COSTED = 10
STEADY_S, LIMIT_S, DASHBOARD = 75.0, 120.0, "dashboard: the slowest stages"


@dataclass(frozen=True)
class Scene:
    service: Service
    prometheus: Prometheus
    load: Load
    foreign_questions: list[str]


def slow_stage(scene: Scene, deployment: str, stage: str) -> list[Row]:
    top = Top(scene.service)
    eyes = {
        "ragserve top": lambda: top.names(stage),
        DASHBOARD: dashboard(scene.prometheus, stage),
        "alert": alert(scene.prometheus, "RagserveStageSlow", "RagserveStageSlower", stage=stage),
    }
    with slowed(scene.service, deployment):
        rows = watch(f"the {deployment} stopped nine tenths of the time", eyes, LIMIT_S)
    echo(f"top: {top.line}")
    return rows


def stopped_embedder(scene: Scene) -> list[Row]:
    """Answers lack the vector search, and the breaker opens."""
    eyes = {
        "/readyz": lambda: not is_ready(scene.service.url),
        "alert": alert(scene.prometheus, "RagserveBreakerOpen", "RagserveMostDegraded"),
    }
    with stopped(scene.service, "Embedder"):
        return watch("the Embedder stopped", eyes, LIMIT_S)


def drift(scene: Scene) -> list[Row]:
    own, scene.load.questions = scene.load.questions, scene.foreign_questions
    rows = watch("questions about another corpus", {"RagserveDrift": alert(scene.prometheus, "RagserveDrift")}, LIMIT_S)
    scene.load.questions = own
    return rows


def broken_index(scene: Scene) -> list[Row]:
    failing = 'sum(ragserve_document_canary_runs_total{outcome!="ok"}) > 0'
    eyes = {
        "canary, first failure": lambda: bool(scene.prometheus.query(failing)),
        "RagserveCanaryFails": alert(scene.prometheus, "RagserveCanaryFails"),
    }
    with losing_vectors(scene.service):
        return watch("vectors of new documents are lost", eyes, LIMIT_S)


INCIDENTS: dict[str, Callable[[Scene], list[Row]]] = {
    "drift": drift,
    "index": broken_index,
    "embedder": lambda scene: slow_stage(scene, "Embedder", "embed"),
    "reranker": lambda scene: slow_stage(scene, "Reranker", "rerank"),
    "stopped": stopped_embedder,
    "generator": lambda scene: slow_stage(scene, "Generator", "generate"),
}
# Of the default models, quotes are made without the Generator's process, and passages reranked by stored vectors.
DEFAULT = ["drift", "index", "embedder", "stopped"]


@contextlib.contextmanager
def scene_of(options: argparse.Namespace) -> Iterator[Scene]:
    foreign = list(read_question_set(options.foreign).queries.values())
    with (
        service(options.config, options.report, options.threads) as running,
        prometheus(options.report, running.metrics_port) as watching,
    ):
        for sentence in ask_and_compare(running.url, running.metrics_url, read_questions(BUILT_IN)[:NUM_COSTED]):
            echo(sentence)
        load = Load(running.url, read_questions(BUILT_IN))
        with load.running():
            yield Scene(running, watching, load, foreign)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True, help="Folder of the service, Prometheus and pictures.")
    parser.add_argument("--foreign", type=Path, required=True, help="Another corpus' questions, in BEIR's layout.")
    parser.add_argument("--config", type=Path, default=ROOT / "serve_config.yaml", help="Deployment file.")
    parser.add_argument("--only", choices=sorted(INCIDENTS), nargs="+", default=DEFAULT, help=f"Default: {DEFAULT}.")
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS of the service.")
    options = parser.parse_args()
    options.report.mkdir(parents=True, exist_ok=True)
    with scene_of(options) as scene:
        start = time.time()
        time.sleep(STEADY_S)
        echo(f"before: {len(scene.load.answers)} answers; alerts: {scene.prometheus.firing()}\n{HEADER}")
        for name in options.only:
            for row in INCIDENTS[name](scene):
                echo(row.to_markdown())
        draw_dashboards(scene.prometheus, start, time.time(), options.report)
    answers = scene.load.answers
    num_degraded = sum(bool(answer.degraded) for answer in answers)
    num_failed = sum(answer.status != httpx.codes.OK for answer in answers)
    echo(f"{len(answers)} answers, {num_degraded} degraded, {num_failed} failed")


if __name__ == "__main__":
    main()
