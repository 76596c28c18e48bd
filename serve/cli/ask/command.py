"""The command `ragserve ask`."""

from typing import Annotated, Any

import typer

from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.options import DEFAULT_URL, StoreOption, UrlOption, console


def ask(
    question: Annotated[str, typer.Argument(help="Question in plain words.")],
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
    top_k: Annotated[int, typer.Option(help="Passages the answer may cite.", min=1, max=50)] = 5,
) -> None:
    """Ask a question; print the answer and its citations."""
    from serve.cli.remote import RemoteError, RemoteService

    with RemoteService(url) as service:
        for event, body in service.ask(question, store, top_k):
            if event == "text":
                console.print(body["text"], end="", markup=False)
            elif event == "error":
                raise RemoteError(body["error"]["message"])
            elif event == "done":
                _print_evidence(body)


def _print_evidence(body: dict[str, Any]) -> None:
    """Citations, the time of each stage, and the stages that were skipped."""
    console.print("\n")
    for citation in body["citations"]:
        quote = " ".join(citation["quote"].split())
        console.print(f"[{citation['id']}] {source_of(citation)}: {quote}", markup=False, style="dim")
    timings = ", ".join(f"{stage} {seconds * 1000:.0f} ms" for stage, seconds in body["timings"].items())
    console.print(f"\n{timings}", style="dim")
    if body["degraded"]:
        console.print(f"skipped: {', '.join(body['degraded'])}", style="yellow")


def source_of(citation: dict[str, Any]) -> str:
    """The file and the place in it: "manual.pdf, page 3", or characters if the file has no places."""
    if location := citation.get("location"):
        return f"{citation['filename']}, {location['label']}"
    return f"{citation['filename']} ({citation['start']}-{citation['end']})"
