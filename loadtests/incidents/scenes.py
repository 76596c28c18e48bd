"""The incidents: each is a fault, and the eyes that must name it."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from typer import echo

from loadtests.incidents.faults import (
    ended,
    judge_badly,
    losing_vectors,
    reconfigured,
    slow_model,
    slowed,
    stopped,
    stopped_exporter,
    upload_damaged_file,
)
from loadtests.incidents.load import Load
from loadtests.incidents.model_server import ALIAS, ModelServer
from loadtests.incidents.prometheus import Prometheus
from loadtests.incidents.service import BROKEN_MODEL, PRICES, Service
from loadtests.incidents.watch import (
    Check,
    Row,
    Top,
    alert,
    dashboard,
    is_ready,
    serves_model,
    wait_until_calm,
    watch,
)

LIMIT_S, CALM_LIMIT_S, DASHBOARD = 120.0, 180.0, "dashboard: the slowest stages"
QUIET_S = 30.0  # with a new model, before it becomes slow
NUM_BAD = 8


@dataclass(frozen=True)
class Scene:
    service: Service
    prometheus: Prometheus
    load: Load
    foreign_questions: list[str]
    model: ModelServer

    def alerts(self, *names: str, **labels: str) -> dict[str, Check]:
        """An eye for each alert."""
        return {name: alert(self.prometheus, name, **labels) for name in names}


def named(incident: str, fault: AbstractContextManager[None], eyes: Mapping[str, Check]) -> list[Row]:
    """Begin the fault when no eye names anything, and take it back when all have named it."""
    wait_until_calm(eyes, CALM_LIMIT_S)
    with fault:
        return watch(incident, eyes, LIMIT_S)


def slow_stage(scene: Scene, incident: str, fault: AbstractContextManager[None], stage: str) -> list[Row]:
    top = Top(scene.service)
    eyes = {
        "ragserve top": lambda: top.names(stage),
        DASHBOARD: dashboard(scene.prometheus, stage),
        "RagserveStageSlow or RagserveStageSlower": alert(
            scene.prometheus, "RagserveStageSlow", "RagserveStageSlower", stage=stage
        ),
    }
    rows = named(incident, fault, eyes)
    echo(f"top: {top.line}")
    return rows


def slow_replica(scene: Scene, deployment: str, stage: str) -> list[Row]:
    return slow_stage(
        scene, f"the {deployment} stopped nine tenths of the time", slowed(scene.service, deployment), stage
    )


def slow_language_model(scene: Scene) -> list[Row]:
    """The Generator calls a model behind a URL, which becomes slow."""
    with reconfigured(scene.service, "Generator", model=ALIAS):
        wait_until_calm({"another model": lambda: not serves_model(scene.service.url, "generate", ALIAS)()}, LIMIT_S)
        time.sleep(QUIET_S)
        return slow_stage(scene, "a language model takes two seconds", slow_model(scene.model), "generate")


def stopped_embedder(scene: Scene) -> list[Row]:
    """Answers lack the vector search, and the breaker opens. Then questions come that need it."""
    eyes = {"/readyz": lambda: not is_ready(scene.service.url)}
    eyes |= scene.alerts("RagserveMostDegraded", "RagserveBreakerOpen")
    errors = scene.alerts("RagserveManyErrors")
    wait_until_calm(eyes | errors, CALM_LIMIT_S)
    with stopped(scene.service, "Embedder"):
        rows = watch("the Embedder stopped", eyes, LIMIT_S)
        scene.load.fields = {"mode": "dense"}
        rows += watch("and questions need it", errors, LIMIT_S)
        scene.load.fields = {}
    return rows


def drift(scene: Scene) -> list[Row]:
    own, scene.load.questions = scene.load.questions, scene.foreign_questions
    rows = watch("questions about another corpus", scene.alerts("RagserveDrift"), LIMIT_S)
    scene.load.questions = own
    return rows


def broken_index(scene: Scene) -> list[Row]:
    failing = 'sum(ragserve_document_canary_runs_total{outcome!="ok"}) > 0'
    eyes: dict[str, Check] = {"canary, first failure": lambda: bool(scene.prometheus.query(failing))}
    eyes |= scene.alerts("RagserveCanaryFails")
    return named("vectors of new documents are lost", losing_vectors(scene.service), eyes)


def quiet_failures(scene: Scene) -> list[Row]:
    """What no caller sees, all at once: a model that does not load, a spent budget, a damaged file, bad feedback."""
    names = ("RagserveModelNotLoaded", "RagserveBudgetSpent", "RagserveDeadLetters", "RagserveBadFeedback")
    eyes = scene.alerts(*names)
    wait_until_calm(eyes, CALM_LIMIT_S)
    costs = {"prices": PRICES, "monthly_budgets": {"acme": 0.0001}}
    with ExitStack() as faults:
        faults.enter_context(reconfigured(scene.service, "Reranker", model=BROKEN_MODEL))
        faults.enter_context(reconfigured(scene.service, "Ingress", costs=costs))
        judge_badly(scene.service, NUM_BAD)
        upload_damaged_file(scene.service)
        return watch("a failed model, a spent budget, a damaged file, bad feedback", eyes, LIMIT_S)


def frozen_exporter(scene: Scene) -> list[Row]:
    """Its values are gone until a replica replaces it."""
    is_scraped = 'up{job="ragserve"} == 1'
    eyes: dict[str, Check] = {"a scrape fails": lambda: not scene.prometheus.query(is_scraped)}
    with stopped_exporter(scene.service):
        rows = watch("the exporter of the metrics stopped", eyes, LIMIT_S)
        eyes = {"it is replaced": lambda: bool(scene.prometheus.query(is_scraped))}
        return rows + watch("from then on", eyes, LIMIT_S)


def no_service(scene: Scene) -> list[Row]:
    return named("the service ended", ended(scene.service), scene.alerts("RagserveDown"))


INCIDENTS: dict[str, Callable[[Scene], list[Row]]] = {
    "drift": drift,
    "index": broken_index,
    "quiet": quiet_failures,
    "embedder": lambda scene: slow_replica(scene, "Embedder", "embed"),
    "reranker": lambda scene: slow_replica(scene, "Reranker", "rerank"),
    "generator": slow_language_model,
    "stopped": stopped_embedder,
    "exporter": frozen_exporter,
    "down": no_service,
}
# Of the default models, the Reranker's process gets no work: passages are reranked by stored vectors.
DEFAULT = [name for name in INCIDENTS if name != "reranker"]
