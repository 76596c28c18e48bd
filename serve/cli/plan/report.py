"""A plan as a table on the console."""

from rich.console import Console
from rich.table import Table

from serve.cli.capacity.plan import Plan, StagePlan

COLUMNS = ("stage", "on", "replicas", "batch", "cpus", "gpus", "GB", "queries/s", "busy", "p95 ms")
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
    target = plan.target
    nodes = ", ".join(f"{len(placed.nodes)} x {placed.hardware}" for placed in plan.placed)
    bottleneck, next_limit = (
        f"{limit.name} ({limit.per_s:,.4g} queries/s, {100 * target.queries_per_s / limit.per_s:.0f} % used)"
        for limit in plan.limits[:2]
    )
    lines = [
        f"nodes: {nodes}; {plan.price_per_hour:,.2f} per hour, {plan.price_per_thousand:,.4f} per 1,000 queries",
        f"capacity: {plan.per_s:,.4g} queries/s (target {target.queries_per_s:,.4g}); "
        f"p95 at the target {plan.delay.p95_s:.3g} s (limit {target.latency_s:g} s), with {target.chunks:,} chunks",
        f"bottleneck: {bottleneck}; next: {next_limit}",
    ]
    return lines + ["These stage times are simulated, not measured."] * plan.is_simulated


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
        f"{stage.per_s:,.4g}",
        f"{100 * stage.busy:.0f} %",
        f"{1e3 * stage.delay.p95_s:,.1f}",
    )
