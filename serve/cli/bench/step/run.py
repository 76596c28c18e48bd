"""`ragserve bench step`: a step of load, and how each stage's replicas follow it.

The stages sleep for as long as a GPU would compute, so that a machine of two cores runs a graph that needs a dozen
GPUs. The policy, the meters, the clients and Serve are the real ones. What a step shows: replicas of each stage over
time, whether any oscillates, and whether the latency budget is kept again once the stages have scaled.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve

from deployments.calls.routing import ROUTING
from deployments.cluster import environment
from deployments.cluster.start import ClusterSize, local_cluster
from serve.cli.bench.step.load import ASK, BODY, TIMEOUT_S, Phase, Sent, StepLoad
from serve.cli.bench.step.summary import PhaseRow, Sample, first_file_s, summarise
from serve.cli.bench.tax.run import HOST, MAX_ONGOING, QUIET, replica, warm_up
from serve.cli.driver.simulated_stages import (
    BatchTime,
    DecodeTime,
    EncoderStage,
    EngineStage,
    ParseStage,
    SearchStage,
    StepIngress,
)

APPLICATION = "step"
SAMPLE_S = 0.5
LEAD_S = 15.0  # of load at the base rate, before anything counts: the stages learn what their work costs
START_S = 3.0  # until the load's process has started
POLICY = "deployments.autoscaling:LatencyBudgetPolicy"


class StepPlan(BaseModel):
    """The load: 1x, `factor` times as much, 1x; files come in the middle alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_per_s: float = Field(default=5.0, gt=0, le=100, description="Questions a second at 1x.")
    factor: float = Field(default=5.0, gt=1, le=20, description="How many times as many in the middle.")
    phase_s: float = Field(default=80.0, ge=20, le=1800, description="Length of each of the three phases, in seconds.")
    budget_s: float = Field(default=2.5, gt=0, le=60, description="For a question, end to end, at the 95th percentile.")
    files_per_s: float = Field(default=0.5, ge=0, le=10, description="Files a second in the middle, for the parser.")
    seed: int = Field(default=0, ge=0, description="Of the arrivals.")

    @property
    def phases(self) -> tuple[Phase, Phase, Phase]:
        base, name = self.base_per_s, f"{self.factor:g}x"
        middle = Phase(name, self.phase_s, base * self.factor, self.files_per_s)
        return Phase("1x", self.phase_s, base), middle, Phase("1x again", self.phase_s, base)


@dataclass(frozen=True)
class Stage:
    """A stage of the graph. `wait_s` is its part of the latency budget: how long work may wait for a replica of it.

    `max_ongoing` is what one replica takes at once, about what it works off in `wait_s`: the rest waits at the
    handles, from where the next replica to start takes it.
    """

    name: str
    kind: type
    arguments: tuple[Any, ...]
    max_ongoing: int
    wait_s: float
    min_replicas: int = 1
    max_replicas: int = 8

    def autoscaling(self) -> dict[str, Any]:
        """For Serve. The policy's own steps are capped: twice as many up, one down."""
        policy = {"budget_s": self.wait_s, "drain_s": 15.0, "utilization": 0.7, "hold_s": 25.0}
        return {
            "min_replicas": self.min_replicas,
            "max_replicas": self.max_replicas,
            "upscale_delay_s": 2.0,
            "downscale_delay_s": 5.0,
            "metrics_interval_s": 1.0,
            "look_back_period_s": 3.0,
            "policy": {"policy_function": POLICY, "policy_kwargs": policy},
        }


# Query embedding, search of an index that fills the card, 30 pairs of a cross-encoder, 48 tokens of an LLM.
STAGES = (
    Stage("embed", EncoderStage, ("embed", BatchTime(0.010, 0.002), 32), max_ongoing=32, wait_s=0.3),
    Stage("search", SearchStage, (BatchTime(0.030, 0.015),), max_ongoing=16, wait_s=0.3),
    Stage("rerank", EncoderStage, ("rerank", BatchTime(0.020, 0.050), 8), max_ongoing=12, wait_s=0.6),
    Stage("generate", EngineStage, (DecodeTime(48, 0.020, 0.0005, slots=16),), max_ongoing=24, wait_s=1.5),
    Stage("parse", ParseStage, (0.5,), max_ongoing=8, wait_s=10.0, min_replicas=0, max_replicas=4),
)


@dataclass(frozen=True)
class StepResult:
    """What happened. Times are from the first phase's begin; what was before it has negative ones."""

    plan: StepPlan
    sent: tuple[Sent, ...]
    samples: tuple[Sample, ...]

    @property
    def rows(self) -> list[PhaseRow]:
        return summarise(self.plan.phases, self.sent, self.samples, self.plan.budget_s)

    def caption(self) -> str:
        errors = list(dict.fromkeys(one.error for one in self.sent if one.error))[:3]
        start = f"The first file waited {first_file_s(self.sent):.1f} s for a parser to start from none."
        return " ".join([start, *errors])

    def write(self, path: Path) -> None:
        """As JSON: the plan, every request and every sample."""
        path.parent.mkdir(parents=True, exist_ok=True)
        sent, samples = [asdict(one) for one in self.sent], [asdict(one) for one in self.samples]
        path.write_text(json.dumps({"plan": self.plan.model_dump(), "sent": sent, "samples": samples}) + "\n")


def run(plan: StepPlan, say: Callable[[str], None]) -> StepResult:
    """Deploys the graph on a cluster of its own, drives it, and takes it down.

    Raises StageUnavailableError if it does not answer, RuntimeError if the load's process fails.
    """
    with _graph() as port, TemporaryDirectory() as folder:
        bodies = Path(folder) / "bodies.jsonl"
        bodies.write_bytes(BODY)
        warm_up((port, ASK), bodies)
        say(f"{LEAD_S + 3 * plan.phase_s:.0f} s of load")
        lead = Phase("before", LEAD_S, plan.base_per_s)
        load = StepLoad(HOST, port, time.time() + START_S, (lead, *plan.phases), plan.seed)
        sent, samples = _driven(load)
    return StepResult(
        plan,
        tuple(replace(one, at_s=one.at_s - LEAD_S) for one in sent),
        tuple(replace(one, at_s=one.at_s - LEAD_S) for one in samples),
    )


@contextmanager
def _graph() -> Iterator[int]:
    """The application, behind Serve's proxy on the port given. Its CPUs are counted, not owned."""
    port = environment.free_port()
    with local_cluster(ClusterSize(num_cpus=4)):
        serve.start(proxy_location="HeadOnly", http_options={"host": HOST, "port": port}, logging_config=QUIET)
        stages = [_deployment(stage).bind(*stage.arguments) for stage in STAGES]
        serve.run(replica(StepIngress, "ingress").bind(*stages), name=APPLICATION, route_prefix="/")
        yield port


def _deployment(stage: Stage) -> serve.Deployment:
    return serve.deployment(
        stage.kind,
        name=stage.name,
        max_ongoing_requests=stage.max_ongoing,
        max_queued_requests=MAX_ONGOING,
        autoscaling_config=stage.autoscaling(),
        request_router_config=ROUTING,
        ray_actor_options={"num_cpus": 0.05},
    )


def _driven(load: StepLoad) -> tuple[list[Sent], list[Sample]]:
    """Runs the load in a process of its own, and looks at the replicas meanwhile."""
    command = [sys.executable, "-m", "serve.cli.bench.step.load"]
    end = load.start_at + sum(phase.seconds for phase in load.phases) + 2 * TIMEOUT_S
    with TemporaryDirectory() as folder:
        output, problems = Path(folder) / "sent.json", Path(folder) / "stderr.txt"
        # To files: a pipe that nobody reads would hold the process up.
        with output.open("wb") as out, problems.open("wb") as err:
            driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err)
        try:
            assert driver.stdin is not None
            driver.stdin.write(json.dumps(asdict(load)).encode())
            driver.stdin.close()
            samples = list(_samples(driver, load.start_at, end))
        finally:
            driver.kill()
            driver.wait()
        if driver.returncode != 0:
            raise RuntimeError(f"the load driver failed: {problems.read_text()[-2000:]}")
        return [Sent(**one) for one in json.loads(output.read_text())], samples


def _samples(driver: "subprocess.Popen[bytes]", start_at: float, end: float) -> Iterator[Sample]:
    """The replicas that run, every SAMPLE_S, until the load's process is done or the time is."""
    while driver.poll() is None and time.time() < end:
        status = serve.status().applications[APPLICATION].deployments
        running = {stage.name: status[stage.name].replica_states.get("RUNNING", 0) for stage in STAGES}
        yield Sample(time.time() - start_at, running)
        time.sleep(SAMPLE_S)
