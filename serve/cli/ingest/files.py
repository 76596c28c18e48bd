"""Upload files and folders into a vector store, in parallel, with a progress bar."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from models.catalog import Catalog
from models.errors.configuration import ConfigError
from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.remote import IngestedFile, RemoteError, RemoteService, form_name

PARALLEL_UPLOADS = 16
MAX_SHOWN_OMISSIONS = 8  # names
FILES_PER_BATCH = 50  # attached at once: their ingestion begins while the next ones are uploaded


@dataclass(frozen=True)
class _Upload:
    """An uploaded file: its id, or the upload's `error`. `superseded`: ids of older files with the same name."""

    filename: str
    file_id: str | None = None
    error: str | None = None
    superseded: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Batch:
    """Files that were uploaded together. `batch_id` is None if every upload failed."""

    uploads: list[_Upload]
    batch_id: str | None


def ingest_files(service: RemoteService, paths: list[Path], store: str, console: Console) -> list[IngestedFile]:
    """Ingest all files and return the failed ones. A file with the name of an uploaded file is its next version.

    Searches find the previous version until the new one is searchable. An unchanged file is not ingested again.
    """
    files = list(dict(entry for path in paths for entry in _walk(path)).items())
    service.vector_store(store)  # a missing store raises before the first upload
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        batches = _upload_all(service, files, store, progress)
        results = _await_all(service, batches, store, progress)
    _print_reports(results, console)
    failed = [result for result in results if result.status != "completed"]
    for result in failed:
        console.print(f"{result.filename}: {result.status}: {result.error}", markup=False, style="red")
    console.print(f"{len(results) - len(failed)} of {len(results)} files are searchable in {store}")
    return failed


def ingest_documents(url: str, paths: list[Path]) -> None:
    """Ingest all files into the default vector store, silently. Raises ConfigError for the first that fails."""
    with RemoteService(url) as service:
        failed = ingest_files(service, paths, DEFAULT_VECTOR_STORE, Console(quiet=True))
    if failed:
        raise ConfigError("--documents", f"{failed[0].filename} was not ingested: {failed[0].error}")


def _upload_all(service: RemoteService, files: list[tuple[str, Path]], store: str, progress: Progress) -> list[_Batch]:
    """Upload and attach batch by batch: the service ingests one batch while the next is uploaded."""
    task, batches = progress.add_task("uploading", total=len(files)), []
    upload = partial(_upload, service, service.file_ids_by_name())
    with ThreadPoolExecutor(PARALLEL_UPLOADS) as pool:
        for start in range(0, len(files), FILES_PER_BATCH):
            uploads = []
            for uploaded in pool.map(upload, files[start : start + FILES_PER_BATCH]):
                uploads.append(uploaded)
                progress.advance(task)
            file_ids = [uploaded.file_id for uploaded in uploads if uploaded.file_id is not None]
            batches.append(_Batch(uploads, service.attach(store, file_ids) if file_ids else None))
    return batches


def _upload(service: RemoteService, ids_by_name: dict[str, list[str]], file: tuple[str, Path]) -> _Upload:
    filename, path = file
    uploaded_ids = ids_by_name.get(filename, [])
    try:
        file_id = service.upload(path, filename, uploaded_ids[-1] if uploaded_ids else None)
    except (RemoteError, OSError) as error:
        return _Upload(filename, error=str(error))
    return _Upload(filename, file_id, superseded=tuple(uploaded_ids[:-1]))


def _await_all(service: RemoteService, batches: list[_Batch], store: str, progress: Progress) -> list[IngestedFile]:
    task = progress.add_task("ingesting", total=sum(len(batch.uploads) for batch in batches))
    results: list[IngestedFile] = []
    for batch in batches:
        failures, reports = dict[str, str](), dict[str, dict[str, Any]]()
        if batch.batch_id is not None:
            failures = service.await_batch(store, batch.batch_id, partial(_show, progress, task, len(results)))
            reports = service.parse_reports(store, batch.batch_id)
        results += [_with_report(upload, _result(service, upload, failures), reports) for upload in batch.uploads]
        progress.update(task, completed=len(results))
    return results


def _show(progress: Progress, task: TaskID, num_earlier: int, num_finished: int) -> None:
    progress.update(task, completed=num_earlier + num_finished)


def _result(service: RemoteService, upload: _Upload, failures: dict[str, str]) -> IngestedFile:
    """The result of an upload. Superseded files are deleted once the new one is searchable."""
    error = upload.error if upload.file_id is None else failures.get(upload.file_id)
    if error is not None:
        return IngestedFile(upload.filename, "failed", error)
    try:
        for file_id in upload.superseded:
            service.delete_file(file_id)
    except RemoteError as refusal:
        return IngestedFile(upload.filename, "failed", str(refusal))
    return IngestedFile(upload.filename, "completed")


def _print_reports(results: list[IngestedFile], console: Console) -> None:
    """Each warning, and the sums of what was left out of all files."""
    for result in results:
        for warning in result.warnings:
            console.print(f"{result.filename}: {warning}", markup=False, style="yellow")
    omissions: Counter[str] = Counter()
    for result in results:
        omissions.update(result.omissions)
    if omissions:
        counts = ", ".join(f"{count} {name}" for name, count in omissions.most_common(MAX_SHOWN_OMISSIONS))
        console.print(f"left out on purpose: {counts}", markup=False)


def _with_report(upload: _Upload, result: IngestedFile, reports: dict[str, dict[str, Any]]) -> IngestedFile:
    report = reports.get(upload.file_id or "", {})
    return replace(result, omissions=report.get("omissions", {}), warnings=report.get("warnings", ()))


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of a file, or of every supported file below a folder except hidden ones and images."""
    if path.is_file():
        yield form_name(path.name), path
        return
    extensions = Catalog.open().text_extensions()
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        is_hidden = any(name.startswith(".") for name in inside.parts)
        if file.is_file() and not is_hidden and file.suffix.lower() in extensions:
            yield form_name(f"{path.resolve().name}/{inside.as_posix()}"), file
