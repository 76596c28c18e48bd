"""The percentages of each resource, and its misses by name."""

from rich.table import Table

from serve.cli.conformance.description import RESOURCES
from serve.cli.conformance.findings import KINDS, Findings, Kind
from serve.cli.options import console, table_console


def print_report(version: str, findings: Findings, with_misses: bool) -> None:
    if with_misses:
        _print_misses(findings)
    table = Table(title=f"Share of what {version} names", title_justify="left")
    for name in ("resource", *(f"{kind}s" for kind in KINDS), "all"):
        table.add_column(name, justify="left" if name == "resource" else "right")
    for resource in (*RESOURCES, None):
        cells = [_percentage(findings, resource, kind) for kind in (*KINDS, None)]
        table.add_row(resource or "all", *cells)
    table_console(100).print(table)


def _print_misses(findings: Findings) -> None:
    for resource in RESOURCES:
        misses = list(findings.misses(resource))
        console.print(f"{resource}: {len(misses)} misses", style="bold")
        for miss in misses:
            console.print(f"  {miss.kind} {miss.name}: {miss.problem}", markup=False)


def _percentage(findings: Findings, resource: str | None, kind: Kind | None) -> str:
    num_good, num_all = findings.share(resource, kind)
    return f"{100 * num_good / num_all:.1f} ({num_good}/{num_all})" if num_all else "-"
