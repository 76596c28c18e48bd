"""A plan as a table on the console, and as JSON."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from serve.cli.capacity.plan import Plan, StagePlan

COLUMNS = ("stage", "on", "replicas", "batch", "cpus", "gpus", "GB", "disk GB", "queries/s", "busy", "p95 ms")
MAPPED = "Token vectors are mapped from disk: {:.0f} % of them counts as memory."
EXAMPLES = "The prices are those of the hardware file; its defaults are examples, not a provider's."
TABLE_WIDTH = 120  # where the output is no terminal


def show(plan: Plan, console: Console) -> None:
    """Print the stages, the nodes, the cost, the bottleneck and the next bottleneck. Needs TABLE_WIDTH columns."""
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for stage in plan.stages.values():
        table.add_row(*_cells(stage))
    console.print(table)
    for line in summary(plan):
        console.print(line, markup=False, soft_wrap=True)


def summary(plan: Plan) -> list[str]:
    """The lines below the table."""
    target, currency = plan.target, plan.hardware.prices.currency
    nodes = ", ".join(f"{len(placed.nodes)} x {placed.hardware}" for placed in plan.placed)
    bottleneck, next_limit = (
        f"{limit.name} ({limit.per_s:,.4g} queries/s, {100 * target.queries_per_s / limit.per_s:.0f} % used)"
        for limit in plan.limits[:2]
    )
    lines = [
        f"nodes: {nodes}; disk: {plan.disk_gb:,.4g} GB, of which the database has {plan.stored_gb:,.4g}",
        f"cost: {plan.price_per_month:,.0f} {currency} per month ({plan.nodes_per_month:,.0f} nodes, "
        f"{plan.disk_per_month:,.0f} disk), {plan.price_per_thousand:,.4f} per 1,000 queries at the target",
        f"capacity: {plan.per_s:,.4g} queries/s (target {target.queries_per_s:,.4g}); "
        f"p95 at the target {plan.delay.p95_s:.3g} s (limit {target.latency_s:g} s), with {target.chunks:,} chunks",
        f"bottleneck: {bottleneck}; next: {next_limit}",
    ]
    dense = plan.stages["dense"].times
    if dense.mapped_bytes_per_chunk:
        lines.append(MAPPED.format(100 * dense.resident_fraction))
    return [*lines, EXAMPLES] + ["These stage times are simulated, not measured."] * plan.is_simulated


def show_json(plan: Plan) -> None:
    """Print the plan as JSON, without wrapping."""
    print(json.dumps(as_json(plan), indent=2))  # noqa: T201, for other programs


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for other programs. Times are in seconds, sizes in GB, prices in the hardware file's currency."""
    return {
        "target": plan.target.model_dump(),
        "stages": {name: _stage_json(stage) for name, stage in plan.stages.items()},
        "nodes": {placed.hardware: len(placed.nodes) for placed in plan.placed},
        "disk_gb": plan.disk_gb,
        "queries_per_s": plan.per_s,
        "p95_s": plan.delay.p95_s,
        "bottleneck": plan.limits[0].name,
        "cost": {
            "currency": plan.hardware.prices.currency,
            "nodes_per_month": plan.nodes_per_month,
            "disk_per_month": plan.disk_per_month,
            "per_month": plan.price_per_month,
            "per_1000_queries": plan.price_per_thousand,
        },
        "is_simulated": plan.is_simulated,
    }


def _stage_json(stage: StagePlan) -> dict[str, Any]:
    return {
        "hardware": stage.hardware,
        "shards": stage.shards,
        "replicas_per_shard": stage.replicas,
        "batch": stage.batch,
        "num_cpus": stage.num_cpus,
        "num_gpus": stage.times.gpus,
        "memory_gb": stage.times.memory_gb,
        "disk_gb": stage.disk_gb,
        "queries_per_s": stage.per_s,
        "busy": stage.busy,
        "p95_s": stage.delay.p95_s,
    }


def _cells(stage: StagePlan) -> tuple[str, ...]:
    shards = f" x {stage.shards} shards" if stage.shards > 1 else ""
    return (
        stage.stage,
        stage.hardware,
        f"{stage.replicas}{shards}",
        str(stage.batch),
        f"{stage.num_cpus:g}",
        f"{stage.times.gpus:g}",
        f"{stage.times.memory_gb:.1f}",
        f"{stage.disk_gb:.1f}" if stage.disk_gb else "",
        f"{stage.per_s:,.4g}",
        f"{100 * stage.busy:.0f} %",
        f"{1e3 * stage.delay.p95_s:,.1f}",
    )
