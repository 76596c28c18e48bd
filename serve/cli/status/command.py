"""The command `ragserve status`. Exits with 1 if answers are not whole."""

from typing import Any

import typer

from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.options import DEFAULT_URL, StoreOption, UrlOption, console


def status(url: UrlOption = DEFAULT_URL, store: StoreOption = DEFAULT_VECTOR_STORE) -> None:
    """Show each stage, what is missing or changing, and the files.

    Exits with 1 if answers are not whole.
    """
    from serve.cli.remote import RemoteService

    with RemoteService(url) as service:
        readiness = service.readiness()
        _print_readiness(readiness)
        # After the stages, which need neither a key nor the database.
        _print_store(store, service.vector_store(store))
    if not readiness["ready"]:
        raise typer.Exit(1)


def _print_readiness(readiness: dict[str, Any]) -> None:
    for name, stage in readiness["stages"].items():
        _print_stage(name, stage)
    _print_dependencies(readiness.get("dependencies", {}))
    _print_state(readiness)
    _print_canary(readiness.get("document_canary"))


def _print_stage(name: str, stage: dict[str, Any]) -> None:
    state = "[green]ready[/green]    " if stage["ready"] else "[red]not ready[/red]"
    console.print(f"{name:<10} {state} {_models(stage)}")
    if stage.get("breaker", "closed") != "closed":
        console.print(f"{'':<10} breaker {stage['breaker']}: questions are answered without this stage", style="yellow")
    if stage["error"]:
        console.print(f"{'':<10} {stage['error']}", markup=False, style="red")


def _print_dependencies(dependencies: dict[str, str]) -> None:
    """The servers that are left alone for now."""
    for name, state in dependencies.items():
        if state != "closed":
            console.print(f"{name:<10} breaker {state}: it does not answer, so it is not called", style="yellow")


def _print_canary(canary: dict[str, Any] | None) -> None:
    """The canary's last run; nothing if there is none."""
    if canary:
        state = "[green]ok[/green]       " if canary["ok"] else "[red]failed[/red]   "
        console.print(f"{'canary':<10} {state} at {canary['ended_at']}")
        if not canary["ok"]:
            console.print(f"{'':<10} {canary['problem']}", markup=False, style="red")


def _print_state(readiness: dict[str, Any]) -> None:
    """What answers lack, what an operator must repair, how many were degraded, and what Serve is changing."""
    for missing in readiness["missing"]:
        console.print(f"{'missing':<10} {missing}", markup=False, style="red")
    errors = {f"{name}: {stage['error']}" for name, stage in readiness["stages"].items()}  # printed with their stage
    for problem in readiness["problems"]:
        if problem not in errors:
            console.print(f"{'problem':<10} {problem}", markup=False, style="yellow")
    recent = readiness["recent"]
    for stage, share in recent["degraded"].items():
        share_text = f"{100 * share:.0f} % of the last {recent['answers']} answers"
        console.print(f"{'degraded':<10} {stage}: {share_text}", markup=False, style="yellow")
    for name, reason in readiness["rollout"].items():
        console.print(f"{'rollout':<10} {name}: {reason}", markup=False, style="yellow")


def _models(stage: dict[str, Any]) -> str:
    """The stage's model, its canary, and the model that is loading."""
    canary = stage["canary"]
    models = (
        stage["model"] and " on ".join(filter(None, (stage["model"], stage["runs_on"]))),
        canary and f"canary {canary['model']} ({100 * canary['share']:g} % of requests)",
        stage["loading"] and f"loading {stage['loading']}",
    )
    return ", ".join(filter(None, models))


def _print_store(name: str, vector_store: dict[str, Any]) -> None:
    counts, index = vector_store["file_counts"], vector_store["index"]
    by_status = ", ".join(
        f"{count} {file_status.replace('_', ' ')}" for file_status, count in counts.items() if file_status != "total"
    )
    console.print(f"{name:<10} {counts['total']} files: {by_status}")
    building = index["building"]
    if building:
        progress = f"{building['num_done']} of {building['num_chunks']} chunks"
        console.print(f"{'':<10} index {index['generation']} in use; building {building['generation']}: {progress}")
