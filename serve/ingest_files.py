"""`ragserve ingest`: files and folders into a vector store, several at a time, with a progress bar."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from models.documents.parse import SUPPORTED_EXTENSIONS
from serve.remote import IngestedFile, RemoteError, RemoteService

PARALLEL_UPLOADS = 16


def ingest_files(service: RemoteService, paths: list[Path], store: str, console: Console) -> list[IngestedFile]:
    """Ingests them all; an earlier version under the same name goes once the new one is searchable. The failed ones."""
    files = dict(found for path in paths for found in _walk(path))
    earlier = service.file_ids_by_name()
    columns = (
        TextColumn("ingesting"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with ThreadPoolExecutor(PARALLEL_UPLOADS) as pool, Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(files))
        jobs = [pool.submit(_ingest, service, path, name, store, earlier) for name, path in files.items()]
        results = []
        for job in as_completed(jobs):
            results.append(job.result())
            progress.update(task, advance=1, description=results[-1].filename)
        progress.update(task, description="")
    failed = [result for result in results if result.status != "completed"]
    for result in failed:
        console.print(f"{result.filename}: {result.status}: {result.error}", markup=False, style="red")
    console.print(f"{len(results) - len(failed)} of {len(results)} files are searchable in {store}")
    return failed


def _ingest(service: RemoteService, path: Path, name: str, store: str, earlier: dict[str, set[str]]) -> IngestedFile:
    try:
        file_id, result = service.ingest(path, name, store)
        if result.status == "completed":
            for old in earlier.get(name, set()) - {file_id}:
                service.delete_file(old)
        return result
    except (RemoteError, OSError) as error:
        return IngestedFile(name, "failed", str(error))


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of a file itself, or of every readable kind of file below a folder, hidden ones left out."""
    if path.is_file():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        inside = file.relative_to(path)
        hidden = any(part.startswith(".") for part in inside.parts)
        if file.is_file() and not hidden and file.suffix.lower() in SUPPORTED_EXTENSIONS:
            yield f"{path.resolve().name}/{inside.as_posix()}", file
