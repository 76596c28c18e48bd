"""The files of the question log: Parquet, in a folder for each day (UTC), on a disk or behind a URL."""

import io
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from models.errors.requests import InvalidRequestError
from models.filesystem import open_filesystem

SETTING = "quality.log.url"
Row = dict[str, Any]


@cache
def schema() -> Any:
    """The columns. Texts are masked; a list has its items in the order of the answer."""
    import pyarrow as pa  # takes 0.1 s

    texts, names = ("request_id", "tenant", "question", "search_query", "answer"), pa.list_(pa.string())
    lists = ("vector_store_ids", "file_ids", "chunk_ids", "cited_file_ids", "degraded", "cached")
    return pa.schema(
        [("at", pa.timestamp("ms", tz="UTC"))]
        + [(name, pa.string()) for name in texts]
        + [(name, names) for name in lists]
        + [("evidence", pa.float64()), ("answerable", pa.bool_()), ("finish_reason", pa.string())]
        + [("models", pa.map_(pa.string(), pa.string())), ("timings_s", pa.map_(pa.string(), pa.float64()))]
        + [("prompt_tokens", pa.int64()), ("completion_tokens", pa.int64())]
    )


class LogFiles:
    """Writes and deletes files of the log. Many processes may write at once: each file has a name of its own."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that cannot be opened."""
        self._files, self._folder = open_filesystem(SETTING, url)

    def write(self, rows: Sequence[Row]) -> None:
        """A file a day. A reader sees a whole file or none. Raises OSError."""
        for day in sorted({row["at"].date() for row in rows}):
            of_day = [row for row in rows if row["at"].date() == day]
            folder = f"{self._folder}/day={day.isoformat()}"
            name = f"{of_day[0]['at']:%H%M%S}-{uuid.uuid4().hex[:12]}"
            self._files.makedirs(folder, exist_ok=True)
            self._files.pipe_file(f"{folder}/{name}.unfinished", _to_parquet(of_day))
            self._files.mv(f"{folder}/{name}.unfinished", f"{folder}/{name}.parquet")

    def delete_older(self, keep_s: float, now: datetime) -> int:
        """Delete the days that ended `keep_s` seconds ago or earlier. Return their number. Raises OSError."""
        old = [folder for folder in self._days() if _end_of(folder) <= now - timedelta(seconds=keep_s)]
        for folder in old:
            self._files.rm(folder, recursive=True)
        return len(old)

    def _days(self) -> list[str]:
        if not self._files.exists(self._folder):
            return []
        return [path for path in self._files.ls(self._folder, detail=False) if "/day=" in path]


def read_log(url: str, tenant: str) -> Iterator[Row]:
    """The tenant's rows, oldest file first. Raises InvalidRequestError for a folder without a log, or a broken file."""
    from pyarrow import ArrowException
    from pyarrow import parquet as pq

    files, folder = open_filesystem("log", url)
    paths = sorted(files.glob(f"{folder}/day=*/*.parquet"))
    if not paths:
        raise InvalidRequestError(f"{url} has no question log; turn it on with quality.log.share", "log")
    for path in paths:
        try:
            with files.open(path, "rb") as content:
                yield from pq.read_table(content, filters=[("tenant", "=", tenant)]).to_pylist()
        except (OSError, ArrowException) as error:
            raise InvalidRequestError(f"{path}: cannot be read: {error}", "log") from None


def _to_parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema()), buffer, compression="zstd")
    return buffer.getvalue()


def _end_of(folder: str) -> datetime:
    """When the folder's day ends. A folder of another name is never old."""
    try:
        return datetime.fromisoformat(folder.rpartition("day=")[2]).replace(tzinfo=UTC) + timedelta(days=1)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
