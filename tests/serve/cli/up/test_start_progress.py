"""What `ragserve up` prints while the stages start."""

import io

from rich.console import Console

from serve.cli.up.progress import StartProgress


def test_ready_stages_and_each_failed_attempt_are_printed_once() -> None:
    console = Console(file=io.StringIO(), width=132)

    with console.status("") as status:
        progress = StartProgress(console, status)
        progress.report({"Embedder": "", "Reranker": ""})
        progress.report({"Reranker": "no such folder"})
        progress.report({"Reranker": "no such folder"})
        progress.report({})

    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "Embedder is ready (0 s)",
        "Reranker did not start, trying again: no such folder",
        "Reranker is ready (0 s)",
    ]
