"""A database, a vector database or the place of uploads that is gone, busy or full."""

from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.stages import StageDownError


class BlobsUnavailableError(StageDownError):
    """The storage `where` failed, which is no file's fault. `detail` is its client's message."""

    code = "blobs_unavailable"

    def __init__(self, detail: str, retry_after_s: float = 5.0, where: str = "the storage of uploaded files") -> None:
        super().__init__("blobs", retry_after_s)
        self.args = (detail, retry_after_s, where)
        self.detail, self.where = detail, where

    def __str__(self) -> str:
        return f"{self.where} cannot be reached; try again in {self.retry_after_s:g} s: {self.detail}"


class DatabaseUnavailableError(StageDownError):
    """The database cannot be reached, or cannot be written. `detail` has no address."""

    code = "database_unavailable"

    def __init__(self, detail: str, retry_after_s: float = 5.0) -> None:
        super().__init__("database", retry_after_s)
        self.args = (detail, retry_after_s)
        self.detail = detail

    def __str__(self) -> str:
        return f"the database is not available: {self.detail}; try again in {self.retry_after_s:g} s"


class DatabaseDamagedError(DatabaseUnavailableError):
    """What the database has stored cannot be read. Only an operator can help: docs/recovery.md."""

    code = "database_damaged"

    def __init__(self, retry_after_s: float = 60.0) -> None:
        super().__init__("it is damaged", retry_after_s)
        self.args = (retry_after_s,)

    def __str__(self) -> str:
        return "the database is damaged; its operator must restore a backup into a new, empty one"


class DatabaseBusyError(DatabaseUnavailableError):
    """The database answers, but not this call in its time: a lock or other work is in the way."""


class StatementTimeoutError(DatabaseBusyError):
    """The database ended this statement, which took too long. That says nothing about other statements."""


class VectorDatabaseUnavailableError(StageDownError):
    """The vector database does not answer, or fails. Only the log has its message, which may have addresses."""

    code = "vector_database_unavailable"

    def __init__(self, retry_after_s: float = 5.0) -> None:
        super().__init__("milvus", retry_after_s)
        self.args = (retry_after_s,)

    def __str__(self) -> str:
        return f"the vector database is not available; try again in {self.retry_after_s:g} s"


class StorageFullError(RagError):
    """There is no room for what is written. `where` says on which storage."""

    code = "storage_full"

    def __init__(self, where: str, retry_after_s: float = 30.0) -> None:
        super().__init__(where, retry_after_s)
        self.where, self.retry_after_s = where, retry_after_s

    def __str__(self) -> str:
        return f"{self.where} is full; delete files, or try again in {self.retry_after_s:g} s"


# No file and no request is to blame: a later attempt may succeed, and a restart of the process changes nothing.
STORAGE_ERRORS = (
    OverloadedError,
    StorageFullError,
    DatabaseUnavailableError,
    BlobsUnavailableError,
    VectorDatabaseUnavailableError,
)
