"""`ragserve bench step`: a step of load, and how each stage's replicas follow it.

The stages sleep for as long as a GPU would compute, so that a machine of two cores runs a graph that needs a dozen
GPUs. The policy, the meters, the clients and Serve are the real ones. The run shows the replicas of each stage over
time, whether any stage oscillates, and whether the latency is within its budget again once the stages have scaled.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from serve.cli.bench.step.graph import running_replicas, step_graph
from serve.cli.bench.step.plan import ASK, StepPhase, StepPlan
from serve.cli.bench.step.summary import PhaseRow, Sample, SentRequest, first_file_s, sent_request, summarise
from serve.cli.driver.module_process import ModuleProcess
from serve.cli.driver.open_loop import OpenLoad, OpenLoopResult, driving_open
from serve.cli.driver.serve_graph import Endpoint
from serve.cli.driver.servers import HOST
from serve.cli.driver.workload import write_bodies

SAMPLE_S = 0.5
LEAD_S = 15.0  # of load at the base rate before the first phase: the stages learn the cost of their work
START_S = 3.0  # until the load's process has started
TIMEOUT_S = 90.0  # of a request
MAX_IN_FLIGHT = 4_000
BODY: dict[str, object] = {"text": "When does the spring tide come?"}
MAX_MESSAGES = 3


@dataclass(frozen=True)
class StepResult:
    """The requests and the replicas. Times are from the start of the first phase; before it they are negative."""

    plan: StepPlan
    sent: tuple[SentRequest, ...]
    samples: tuple[Sample, ...]

    @property
    def rows(self) -> list[PhaseRow]:
        return summarise(self.plan.phases, self.sent, self.samples, self.plan.budget_s)

    def caption(self) -> str:
        errors = list(dict.fromkeys(request.error for request in self.sent if request.error))[:MAX_MESSAGES]
        start = f"The first file waited {first_file_s(self.sent):.1f} s for a parser to start from none."
        return " ".join([start, *errors])

    def write(self, path: Path) -> None:
        """As JSON: the plan, every request and every sample."""
        path.parent.mkdir(parents=True, exist_ok=True)
        sent, samples = [asdict(request) for request in self.sent], [asdict(sample) for sample in self.samples]
        path.write_text(json.dumps({"plan": self.plan.model_dump(), "sent": sent, "samples": samples}) + "\n")


def run(plan: StepPlan, report: Callable[[str], None]) -> StepResult:
    """Deploys the graph on a cluster of its own, drives it, and takes it down.

    Raises StageUnavailableError if it does not answer, RuntimeError if the load's process fails.
    """
    with step_graph() as port, TemporaryDirectory() as folder:
        bodies = write_bodies(Path(folder) / "bodies.jsonl", [BODY])
        Endpoint(port, ASK).warm_up(bodies)
        report(f"{LEAD_S + 3 * plan.phase_s:.0f} s of load")
        lead = StepPhase("before", LEAD_S, plan.base_per_s)
        phases = tuple(phase.as_load(str(bodies)) for phase in (lead, *plan.phases))
        load = OpenLoad(HOST, port, phases, TIMEOUT_S, MAX_IN_FLIGHT, plan.seed, time.time() + START_S)
        result, samples = _drive(load)
    return StepResult(
        plan,
        tuple(sent_request(record, LEAD_S) for record in result.records),
        tuple(replace(sample, at_s=sample.at_s - LEAD_S) for sample in samples),
    )


def _drive(load: OpenLoad) -> tuple[OpenLoopResult, list[Sample]]:
    """Runs the load in a process of its own, and samples the replicas meanwhile."""
    with driving_open(load) as process:
        samples = list(_samples(process, load))
        return OpenLoopResult.of_json(process.result(timeout_s=TIMEOUT_S)), samples


def _samples(process: ModuleProcess, load: OpenLoad) -> Iterator[Sample]:
    """The replicas that run, every SAMPLE_S, until the load has ended or its time is over."""
    end = load.start_at + load.max_duration_s
    while process.is_running and time.time() < end:
        yield Sample(time.time() - load.start_at, running_replicas())
        time.sleep(SAMPLE_S)
