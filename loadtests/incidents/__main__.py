"""Run the incidents, print what named each, and draw the dashboards."""

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from typer import echo

from loadtests.incidents.costs import ask_and_compare
from loadtests.incidents.load import Load
from loadtests.incidents.model_server import model_server
from loadtests.incidents.panels import draw_dashboards
from loadtests.incidents.prometheus import prometheus
from loadtests.incidents.scenes import DEFAULT, INCIDENTS, Scene
from loadtests.incidents.service import ROOT, service
from loadtests.incidents.watch import HEADER
from loadtests.questions import BUILT_IN
from serve.cli.driver.question_set import read_question_set
from serve.cli.driver.workload import read_questions

NUM_COSTED = 10
STEADY_S = 75.0


@contextlib.contextmanager
def scene_of(options: argparse.Namespace) -> Iterator[Scene]:
    foreign = list(read_question_set(options.foreign).queries.values())
    with (
        model_server() as model,
        service(options.config, options.report, options.threads, model.catalog) as running,
        prometheus(options.report, running.metrics_port) as watching,
    ):
        for sentence in ask_and_compare(running.url, running.metrics_url, read_questions(BUILT_IN)[:NUM_COSTED]):
            echo(sentence)
        load = Load(running.url, read_questions(BUILT_IN))
        with load.running():
            yield Scene(running, watching, load, foreign, model)


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
        for name in sorted(options.only, key=list(INCIDENTS).index):
            for row in INCIDENTS[name](scene):
                echo(row.to_markdown())
        draw_dashboards(scene.prometheus, start, time.time(), options.report)
    answers = scene.load.answers
    num_degraded = sum(bool(answer.degraded) for answer in answers)
    num_failed = sum(answer.status != httpx.codes.OK for answer in answers)
    echo(f"{len(answers)} answers, {num_degraded} degraded, {num_failed} failed")


if __name__ == "__main__":
    main()
