"""`ragserve bench …`: the benchmarks' commands, put together."""

from collections.abc import Callable

import typer

from serve.cli.bench.backup.command import backup_command
from serve.cli.bench.cache.command import cache_command
from serve.cli.bench.door.command import door_command
from serve.cli.bench.engines.command import engines_command
from serve.cli.bench.evidence.command import evidence_command
from serve.cli.bench.extractive.command import extractive_command
from serve.cli.bench.ingest.command import ingest_command
from serve.cli.bench.llm.command import llm_command
from serve.cli.bench.memory.command import memory_command
from serve.cli.bench.milvus.command import milvus_command
from serve.cli.bench.models.command import gpu_command, models_command
from serve.cli.bench.ocr.command import ocr_command
from serve.cli.bench.overload.command import overload_command
from serve.cli.bench.peers.command import peers_command
from serve.cli.bench.plan.command import plan_command
from serve.cli.bench.prefix.command import prefix_command
from serve.cli.bench.retrieval.command import retrieval_command
from serve.cli.bench.search.command import search_command
from serve.cli.bench.serve.command import corpus_command, serve_command
from serve.cli.bench.standby.command import standby_command
from serve.cli.bench.starve.command import starve_command
from serve.cli.bench.step.command import step_command
from serve.cli.bench.tax.command import settings_command, tax_command
from serve.cli.bench.telemetry.command import telemetry_command
from serve.cli.bench.tenants.command import tenants_command
from serve.cli.bench.understanding.command import understanding_command

bench = typer.Typer(
    help="Measure speed and quality, side by side in one run. docs/benchmarks.md has the results.",
    no_args_is_help=True,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "models": models_command,
    "gpu": gpu_command,
    "search": search_command,
    "tax": tax_command,
    "settings": settings_command,
    "telemetry": telemetry_command,
    "step": step_command,
    "overload": overload_command,
    "door": door_command,
    "tenants": tenants_command,
    "starve": starve_command,
    "prefix": prefix_command,
    "cache": cache_command,
    "corpus": corpus_command,
    "serve": serve_command,
    "peers": peers_command,
    "plan": plan_command,
    "ingest": ingest_command,
    "backup": backup_command,
    "standby": standby_command,
    "retrieval": retrieval_command,
    "extractive": extractive_command,
    "evidence": evidence_command,
    "understanding": understanding_command,
    "memory": memory_command,
    "ocr": ocr_command,
    "llm": llm_command,
    "engines": engines_command,
    "milvus": milvus_command,
}
for name, command in COMMANDS.items():
    bench.command(name)(command)
