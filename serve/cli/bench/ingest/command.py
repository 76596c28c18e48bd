"""The command `ragserve bench ingest`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import OutputOption, PeersOption, QuickOption
from serve.cli.options import DEFAULT_CONFIG, ConfigOption

DocumentsOption = Annotated[
    Path | None,
    typer.Option(help="Folder of a question set in BEIR's layout; default: README.md and docs.", exists=True),
]


# A command's options are its arguments.
def ingest_command(  # noqa: PLR0913
    documents: DocumentsOption = None,
    files: Annotated[int, typer.Option(help="Files of one document.", min=1, max=100_000)] = 400,
    large_files: Annotated[int, typer.Option(help="Files of LARGE_DOCUMENTS documents.", min=0, max=100)] = 2,
    large_documents: Annotated[int, typer.Option(help="Documents of a large file.", min=1, max=100_000)] = 150,
    threads: Annotated[int, typer.Option(help="Threads per forward pass, everywhere.", min=1, max=256)] = 2,
    model: Annotated[
        str, typer.Option(help="Catalog alias that ragserve embeds with, such as minilm-int8.")
    ] = "minilm",
    kills: Annotated[
        int, typer.Option(help="Instead: kill a bulk run so often, and compare the result.", min=0, max=100)
    ] = 0,
    config: ConfigOption = DEFAULT_CONFIG,
    environments: PeersOption = None,
    output: OutputOption = None,
    quick: QuickOption = False,
) -> None:
    """Ingestion against the embedder alone, LangChain and LlamaIndex, with the same model and documents.

    Then the same documents again while questions are asked. Missing libraries are installed first. --quick installs
    nothing: a library that is not installed is skipped, and the caption of the table says so.
    """
    from serve.cli.bench.ingest.rows import IngestPlan
    from serve.cli.bench.ingest.run import measure
    from serve.cli.driver.peers.environments import default_folder

    if kills:
        from serve.cli.bench.ingest.kills import measure_kills

        large_files = 0
    sizes = (files, large_files, large_documents)
    plan = IngestPlan(config, environments or default_folder(), documents, *sizes, threads, model=model)
    plan = plan.as_quick() if quick else plan
    if kills:
        measure_kills(plan, kills, output)
    else:
        measure(plan, output)
