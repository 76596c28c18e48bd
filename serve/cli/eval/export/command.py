"""The command `ragserve eval export`. Exits with 2 if no question can be measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors.requests import InvalidRequestError
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE
from serve.cli.options import DEFAULT_URL, StoreOption, UrlOption, console

if TYPE_CHECKING:
    from serve.cli.driver.question_set import Document
    from serve.cli.remote import RemoteService

FolderArgument = Annotated[Path, typer.Argument(help="New folder for the question set.", file_okay=False)]
LogOption = Annotated[
    str | None, typer.Option("--log", help="Folder or URL of the question log; default: feedback alone.")
]
TenantOption = Annotated[str, typer.Option(help="Tenant whose rows of the log are read: that of the API key.")]
EvidenceOption = Annotated[
    float | None,
    typer.Option(help="Also take logged answers without feedback that had this evidence.", min=0, max=1),
]


def export_command(
    folder: FolderArgument,
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
    log: LogOption = None,
    tenant: TenantOption = DEFAULT_TENANT,
    min_evidence: EvidenceOption = None,
) -> None:
    """Make a question set of feedback and of the question log, for `ragserve eval`.

    The documents are the searchable files of the vector store.
    """
    from serve.cli.driver.question_set import read_question_set
    from serve.cli.eval.export.select import select_questions
    from serve.cli.eval.export.write import check_folder, write_question_set
    from serve.cli.remote import RemoteService
    from serve.quality.log_files import read_log

    try:
        if min_evidence is not None and log is None:
            raise InvalidRequestError("--min-evidence needs --log: it chooses among logged answers", "min-evidence")
        check_folder(folder)
        with RemoteService(url) as service:
            rows = read_log(log, tenant) if log else ()
            selection = select_questions(service.pages("/v1/feedback"), rows, store, min_evidence)
            num_documents = write_question_set(folder, _documents(service, store), selection.questions)
        questions = read_question_set(folder)
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None
    console.print(f"{folder}: {len(questions.queries)} questions, {num_documents} documents", markup=False)
    if missing := len(selection.questions) - len(questions.queries):
        selection.left_out["questions whose files are not in the vector store"] = missing
    for reason, count in selection.left_out.items():
        console.print(f"left out: {count} {reason}", markup=False)


def _documents(service: "RemoteService", store: str) -> "Iterator[Document]":
    """The searchable files of the store, with their texts."""
    from serve.cli.driver.question_set import Document

    for file in service.pages(f"/v1/vector_stores/{store}/files", filter="completed", order="asc"):
        yield Document(file["id"], service.filename(file["id"]), service.text(file["id"]))
