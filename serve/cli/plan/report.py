"""A plan, for a person."""

from rich.console import Console
from rich.table import Table

from serve.cli.capacity.plan import Plan, StagePlan

COLUMNS = ("stage", "on", "replicas", "batch", "cpus", "gpus", "GB", "queries/s", "busy", "p95 ms")


def show(plan: Plan, console: Console) -> None:
    """The stages, the nodes, the costs, the bottleneck and the next one."""
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for stage in plan.stages.values():
        table.add_row(*_cells(stage))
    console.print(table)
    for line in lines(plan):
        console.print(line, markup=False)


def lines(plan: Plan) -> list[str]:
    """What stands under the table."""
    target = plan.target
    nodes = [f"{len(placed.nodes)} x {placed.hardware}" for placed in plan.placed]
    costs = f"{plan.price_per_hour:,.2f} an hour, {plan.price_per_thousand:,.4f} per 1,000 queries"
    found = [
        f"nodes: {', '.join(nodes)}; {costs}",
        f"bears {plan.per_s:,.4g} queries/s of the {target.queries_per_s:,.4g} wanted; "
        f"p95 at those {plan.delay.p95_s:.3g} s of {target.latency_s:g} s, with {target.chunks:,} chunks",
    ]
    first, following = (
        f"{limit.name} ({limit.per_s:,.4g} queries/s, {100 * target.queries_per_s / limit.per_s:.0f} % used)"
        for limit in plan.limits[:2]
    )
    found.append(f"bottleneck: {first}; next: {following}")
    return found + ["These times are simulated: nobody measured them."] * plan.is_simulated


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
