"""The commands `ragserve bench …`: each measures side by side, prints a table, and can keep it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from models.errors import InvalidRequestError

bench = typer.Typer(
    help="Measure side by side, in one run; docs/benchmarks.md keeps the results.", no_args_is_help=True
)
console = Console(highlight=False, soft_wrap=True)

TempOption = Annotated[
    Path | None, typer.Option(help="Folder for the data, which are deleted afterwards.", file_okay=False)
]

ALL_ROWS = "embed,rerank,generate,memory"
RowsOption = Annotated[str, typer.Option(help="Of embed, rerank, generate, memory.")]
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The deployment file.")]
PeersOption = Annotated[Path | None, typer.Option(help="Where other servers are installed; else the user's cache.")]
LlmOption = Annotated[Path | None, typer.Option(help="An LLM's folder; else a small one is built.", exists=True)]
OutputOption = Annotated[Path | None, typer.Option(help="A JSON file of the rows.", dir_okay=False)]
PlotOption = Annotated[Path | None, typer.Option(help="A picture of the rows, such as models.png.", dir_okay=False)]


# A command's options are its arguments.
@bench.command()
def search(  # noqa: PLR0913
    sizes: Annotated[str, typer.Option(help="Numbers of chunks, separated by commas.")] = "1000,10000,100000",
    indexes: Annotated[str, typer.Option(help="Of flat, hnsw, ivf_pq, tantivy, milvus.")] = "flat,hnsw,ivf_pq,tantivy",
    dim: Annotated[int, typer.Option(help="Dimensions of a vector.", min=8, max=4096)] = 384,
    batch_size: Annotated[int, typer.Option("--batch", help="Queries of a batch.", min=1, max=512)] = 32,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.1, max=60)] = 2.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    folder: TempOption = None,
    milvus_uri: Annotated[str | None, typer.Option("--milvus", help="Of a server, instead of Milvus Lite.")] = None,
) -> None:
    """The served searchers against FAISS, Tantivy and pymilvus called directly: queries/s, p99, recall."""
    from deployments.cluster import environment

    environment.apply()
    os.environ["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] = "1"  # the benchmark calls its handles from threads
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "0"
    from serve.cli.bench.search.rows import HEAD, Plan, table_row
    from serve.cli.bench.search.run import run

    plan = Plan(_numbers(sizes), tuple(indexes.split(",")), dim, batch_size, turn_s, num_turns, milvus_uri)
    with TemporaryDirectory(dir=folder) as temporary:
        rows = list(run(plan, Path(temporary), lambda line: console.print(line, style="dim", markup=False)))
    console.print("\n".join([HEAD, *map(table_row, rows)]), markup=False)


@bench.command()
def tax(
    clients: Annotated[str, typer.Option(help="Numbers of clients, separated by commas.")] = "1,4,16,64,256",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=60)] = 5.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    body_bytes: Annotated[int, typer.Option("--body", help="Bytes of a question.", min=4, max=1_000_000)] = 200,
) -> None:
    """What Ray Serve costs a composed graph: echo stages through our clients, on plain Ray Serve, and none at all."""
    from deployments.cluster import environment

    environment.apply()
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "0"
    from serve.cli.bench.tax.run import HEAD, TaxPlan, run

    plan = TaxPlan(_numbers(clients), turn_s, num_turns, body_bytes)
    with TemporaryDirectory() as temporary:
        rows = list(run(plan, Path(temporary), lambda line: console.print(line, style="dim", markup=False)))
    console.print("\n".join([HEAD, *(row.line() for row in rows)]), markup=False)


@bench.command()
def settings(
    clients: Annotated[str, typer.Option(help="Numbers of clients, separated by commas.")] = "1,64",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=60)] = 4.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    body_bytes: Annotated[int, typer.Option("--body", help="Bytes of a question.", min=4, max=1_000_000)] = 200,
) -> None:
    """What each setting of Ray Serve's and of our clients is worth: the graph of `bench tax`, with one left out."""
    from serve.cli.bench.tax.settings import HEAD, VARIANTS, Job, run

    jobs = [Job(variant, _numbers(clients), turn_s, num_turns, body_bytes) for variant in VARIANTS]
    rows = list(run(jobs, lambda line: console.print(line, style="dim", markup=False)))
    console.print("\n".join([HEAD, *(row.line() for row in rows)]), markup=False)


@bench.command()
def backup(
    chunks: Annotated[int, typer.Option(help="How many chunks.", min=100, max=10_000_000)] = 100_000,
    folder: TempOption = None,
    database_url: Annotated[str | None, typer.Option(help="An empty database, instead of SQLite.")] = None,
) -> None:
    """How long a backup and a restore of so many chunks take."""
    from serve.cli.bench.backup.run import run

    with TemporaryDirectory(dir=folder) as temporary:
        rows = run(chunks, Path(temporary), database_url)
    console.print("| step | seconds | MB |\n|---|---|---|")
    for row in rows:
        console.print(f"| {row.step} | {row.seconds:.1f} | {row.megabytes:.0f} |", markup=False)


# A command's options are its arguments.
@bench.command()
def models(  # noqa: PLR0913
    rows: RowsOption = ALL_ROWS,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=120)] = 4.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    clients: Annotated[int, typer.Option(help="Clients that ask for embeddings at once.", min=1, max=256)] = 32,
    threads: Annotated[int, typer.Option(help="Threads of each server's model.", min=1, max=256)] = 1,
    config: ConfigOption = Path("serve_config.yaml"),
    peers: PeersOption = None,
    llm: LlmOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """Embedding, reranking and generation over HTTP against the models called offline and against other servers."""
    from serve.cli.bench.models.command import measure
    from serve.cli.bench.models.rows import Plan
    from serve.cli.driver.peers.environments import default_folder

    groups = tuple(rows.split(","))
    plan = Plan(groups, config, peers or default_folder(), turn_s, num_turns, clients, threads, "cpu", llm)
    measure(plan, output, plot, console)


# A command's options are its arguments.
@bench.command()
def gpu(  # noqa: PLR0913
    rows: RowsOption = ALL_ROWS,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=120)] = 4.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    clients: Annotated[int, typer.Option(help="Clients that ask for embeddings at once.", min=1, max=256)] = 64,
    config: ConfigOption = Path("serve_config.yaml"),
    peers: PeersOption = None,
    llm: LlmOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """Needs a GPU with CUDA: the rows of `bench models` with every model on it, and FAISS there against the CPU."""
    from serve.cli.bench.gpu.run import require_gpu, run
    from serve.cli.bench.models.command import measure
    from serve.cli.bench.models.rows import Plan
    from serve.cli.driver.peers.environments import default_folder

    require_gpu()
    groups = tuple(rows.split(","))
    plan = Plan(groups, config, peers or default_folder(), turn_s, num_turns, clients, 1, "cuda", llm)
    measure(plan, output, plot, console, run)


# A command's options are its arguments.
@bench.command()
def prefix(  # noqa: PLR0913
    num_requests: Annotated[int, typer.Option("--requests", help="Of the simulation.", min=100)] = 7_106,
    kv_tokens: Annotated[int, typer.Option(help="KV cache of the simulation.", min=10_000)] = 200_000,
    ingresses: Annotated[int, typer.Option(help="Processes that order passages, each by itself.", min=1)] = 1,
    engine_requests: Annotated[int, typer.Option(help="Of the replay on vLLM.", min=10)] = 300,
    engine_kv_tokens: Annotated[int, typer.Option(help="KV cache of the replay on vLLM.", min=4_096)] = 20_000,
    llm: Annotated[Path | None, typer.Option(help="An LLM's folder to replay on with vLLM; else not.")] = None,
    plot: PlotOption = None,
) -> None:
    """How much of the prompts is in the engine's prefix cache, by the order of the passages: simulated, and on vLLM."""
    from serve.cli.bench.prefix.run import run
    from serve.cli.bench.prefix.simulate import Plan, draw, table

    plan = Plan(num_requests, kv_tokens, ingresses, llm, engine_requests, engine_kv_tokens)
    rows = list(run(plan, lambda line: console.print(line, style="dim", markup=False)))
    console.print(table(rows), markup=False)
    if plot is not None:
        draw(rows, plot)


@bench.command()
def plan(
    seconds: Annotated[float, typer.Option(help="Length of one turn.", min=1, max=120)] = 10.0,
    service: Annotated[bool, typer.Option("--service", help="The running service, too, as it ships.")] = False,
    config: ConfigOption = Path("serve_config.yaml"),
    profile: Annotated[Path | None, typer.Option(help="Of this machine; else measured.", dir_okay=False)] = None,
) -> None:
    """`ragserve plan` held against runs: replicas that sleep as a profile says, and a thousand queries/s on paper."""
    from deployments.cluster import environment

    environment.apply()
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "0"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a measured profile is of one thread a replica
    from serve.cli.bench.plan.check import HEAD, run

    def say(line: str) -> None:
        console.print(line, style="dim", markup=False)

    rows = run(seconds, say)
    if service:
        from serve.cli.bench.plan.service import check_service

        with TemporaryDirectory() as temporary:
            rows.append(check_service(config, profile, seconds, Path(temporary), say))
    console.print("\n".join([HEAD, *(row.line() for row in rows)]), markup=False)


# A command's options are its arguments.
@bench.command()
def step(  # noqa: PLR0913
    base_per_s: Annotated[float, typer.Option("--base-rate", help="Questions a second at 1x.", min=0.1, max=100)] = 5.0,
    factor: Annotated[float, typer.Option(help="How many times as many in the middle.", min=1.1, max=20)] = 5.0,
    phase_s: Annotated[float, typer.Option("--phase", help="Seconds of each phase.", min=20, max=1800)] = 80.0,
    budget_s: Annotated[float, typer.Option("--budget", help="Seconds for a question.", min=0.1, max=60)] = 2.5,
    seed: Annotated[int, typer.Option(help="Of the arrivals.", min=0)] = 0,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """1x, 5x, 1x: each stage's replicas over time, and the latency, with stages that sleep as long as GPUs compute."""
    from deployments.cluster import environment

    environment.apply()
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "0"
    from serve.cli.bench.step.command import measure
    from serve.cli.bench.step.run import StepPlan

    plan = StepPlan(base_per_s=base_per_s, factor=factor, phase_s=phase_s, budget_s=budget_s, seed=seed)
    measure(plan, output, plot, console)


# A command's options are its arguments.
@bench.command()
def overload(  # noqa: PLR0913
    clients: Annotated[str, typer.Option(help="Numbers of clients of the closed loops.")] = "4,8,16,32",
    shares: Annotated[str, typer.Option(help="What is offered, in parts of the peak.")] = "0.5,1,1.5,2",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=2, max=300)] = 15.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    answer_s: Annotated[float, typer.Option(help="After which a request hangs: query.total_s and a grace.")] = 70.0,
    documents: Annotated[list[Path] | None, typer.Option(help="To ask about; else the README and docs.")] = None,
    questions: Annotated[Path, typer.Option(help="A question a line.")] = Path("loadtests/questions.txt"),
    config: ConfigOption = Path("serve_config.yaml"),
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """What the service still answers at twice its peak: goodput, refusals, and whether any request hangs."""
    from serve.cli.bench.overload.findings import OverloadPlan
    from serve.cli.bench.overload.run import measure

    asked = tuple(documents or (Path("README.md"), Path("docs")))
    parts = tuple(float(part) for part in shares.split(","))
    loops = _numbers(clients)
    measure(OverloadPlan(config, asked, questions, loops, parts, turn_s, num_turns, answer_s), output, plot, console)


# A command's options are its arguments.
@bench.command()
def peers(  # noqa: PLR0913
    questions: Annotated[
        Path | None, typer.Option(help="A file with a question a line; else the documents' own.", exists=True)
    ] = None,
    documents: Annotated[
        Path | None, typer.Option(help="A question set's folder in BEIR's layout; else README and docs.", exists=True)
    ] = None,
    clients: Annotated[str, typer.Option(help="Numbers of clients, separated by commas.")] = "1,16",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=1, max=300)] = 20.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    threads: Annotated[int, typer.Option(help="Threads of a forward pass of ragserve's.", min=1, max=256)] = 2,
    peer_threads: Annotated[int, typer.Option(help="Threads of a peer's forward pass.", min=1, max=256)] = 1,
    peer_bfloat16: Annotated[bool, typer.Option(help="The peers' models in bfloat16, not their float32.")] = False,
    config: ConfigOption = Path("serve_config.yaml"),
    environments: PeersOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """The whole query path over HTTP against Haystack and LangChain services with the same models and index."""
    from serve.cli.bench.peers.command import measure
    from serve.cli.bench.peers.rows import PeersPlan
    from serve.cli.driver.peers.environments import default_folder

    plan = PeersPlan(
        config,
        environments or default_folder(),
        documents,
        questions,
        _numbers(clients),
        turn_s,
        num_turns,
        threads,
        peer_threads,
        "bfloat16" if peer_bfloat16 else "float32",
    )
    measure(plan, output, plot, console)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequestError(f"{text!r} is no list of numbers", "sizes") from None
