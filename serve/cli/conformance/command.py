"""The command `ragserve conformance`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.options import DEFAULT_URL, UrlOption, console

DescriptionArgument = Annotated[
    Path, typer.Argument(metavar="DESCRIPTION", help="OpenAI's OpenAPI description, in JSON, plain or as .gz.")
]
MissesOption = Annotated[bool, typer.Option(help="Name each miss.")]


def conformance(description: DescriptionArgument, url: UrlOption = DEFAULT_URL, misses: MissesOption = True) -> None:
    """Check a running service against OpenAI's description of its API, and the types of OpenAI's client.

    It tries each operation, field, error and event of responses, conversations, vector stores, files, chat, embeddings
    and models. It stores a few files and objects: use a service of its own. The key comes from RAGSERVE_API_KEY.
    """
    from serve.cli.conformance.description import Description
    from serve.cli.conformance.report import print_report
    from serve.cli.conformance.run import run

    read = Description(description)
    print_report(read.version, run(read, url, console), misses)
