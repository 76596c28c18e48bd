"""The errors that ragserve raises.

RagError
├── InvalidRequestError        the request is wrong
│   ├── PayloadTooLargeError   … or too large
│   └── BodyTimeoutError       … or its body arrives too slowly
├── UnauthorizedError          no API key, or an unknown one
├── ForbiddenError             the API key may not do this, or a browser's page may not call it
├── NotFoundError              no such file, vector store or chunk
├── ConflictError              the current state does not allow the operation
│   └── MissingVectorsError    … because vectors of a required generation are missing
├── UnreadableDocumentError    no text can be extracted from a file
├── ConfigError                serve_config.yaml or the catalog is wrong
│   └── ModelNotFoundError     … because it names a model that is not in the catalog
├── ModelLoadError             a model of the catalog does not load
├── UnequalVectorsError        an embedding fallback gives other vectors than the embedder
├── UnusableVectorError        an embedding model has no vector for a text
├── OverloadedError            a queue is full; retry later
├── RateLimitedError           a key or a tenant has used up a limit; retry later
├── StorageQuotaError          a tenant stores as much as it may
├── DeadlineExceededError      a stage did not answer within its budget
├── StageUnavailableError      no replica of a stage can answer
│   ├── DegradedError          … and the request takes no result without it
│   └── StageDownError         … nor could before this call, which is not the cause
│       ├── ModelUnavailableError  a model behind a URL does not answer as it should
│       ├── BreakerOpenError       it failed again and again, so it is not called for now
│       ├── BlobsUnavailableError  the storage of uploaded files cannot be reached
│       ├── DatabaseUnavailableError  the database cannot be reached or written
│       │   ├── DatabaseDamagedError  … since what it has stored is damaged
│       │   └── DatabaseBusyError     … by this call: a lock or other work is in the way
│       │       └── StatementTimeoutError  … it was too slow, and the database ended it
│       └── VectorDatabaseUnavailableError  the vector database does not answer
├── StorageFullError           no room for what is written; reads and deletes go on
└── InternalError              an unexpected failure; only the log has the details

Each class has a stable `code`. Arguments are positional and stored in `args`, so that an error survives pickling
between replicas. Only serve/api/errors.py chooses HTTP status codes.
"""

import difflib
import math
from collections.abc import Iterable


def did_you_mean(name: str, valid_names: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the most similar valid name, or all valid names."""
    names = list(valid_names)
    nearest = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; it is one of {', '.join(names)}"


class RagError(Exception):
    """The base class. `retry_after_s` is set if a later retry may succeed."""

    code = "internal_error"
    retry_after_s: float | None = None


class InvalidRequestError(RagError):
    code = "invalid_request"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.message, self.param = message, param

    def __str__(self) -> str:
        return self.message


class PayloadTooLargeError(InvalidRequestError):
    code = "payload_too_large"


class BodyTimeoutError(InvalidRequestError):
    code = "request_timeout"

    def __init__(self, num_bytes: int, budget_s: float) -> None:
        super().__init__(f"{num_bytes} bytes of the body arrived within {budget_s:.3g} s; send it faster")
        self.args = (num_bytes, budget_s)


class UnauthorizedError(RagError):
    """`actor` and `tenant` are those of a key that was revoked or has expired, for the audit log."""

    code = "invalid_api_key"  # OpenAI's

    def __init__(self, message: str, actor: str = "", tenant: str = "") -> None:
        super().__init__(message, actor, tenant)
        self.actor, self.tenant = actor, tenant

    def __str__(self) -> str:
        return str(self.args[0])


class ForbiddenError(RagError):
    code = "forbidden"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class NotFoundError(RagError):
    code = "not_found"

    def __init__(self, resource: str, resource_id: str, param: str | None = None) -> None:
        """`param` is the field of the request that has the id; None: it is in the path."""
        super().__init__(resource, resource_id, param)
        self.resource, self.resource_id, self.param = resource, resource_id, param

    def __str__(self) -> str:
        return f"no {self.resource} with id {self.resource_id!r}"


class ConflictError(RagError):
    code = "conflict"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class MissingVectorsError(ConflictError):
    """Chunks lack vectors of `generations`, which their vector store requires."""

    code = "missing_vectors"

    def __init__(self, generations: tuple[str, ...]) -> None:
        super().__init__(f"vectors are missing for the generations {', '.join(generations)}")
        self.args = (generations,)
        self.generations = generations

    def __str__(self) -> str:
        return f"vectors are missing for the generations {', '.join(self.generations)}"


class UnreadableDocumentError(RagError):
    """No text can be extracted. `reason` is OpenAI's code: unsupported_file, invalid_file or server_error.

    `cause` is more exact: it may also be too_complex, parser_crash or parser_error.
    """

    code = "unreadable_document"

    def __init__(self, filename: str, reason: str, detail: str, cause: str | None = None) -> None:
        super().__init__(filename, reason, detail, cause)
        self.filename, self.reason, self.detail, self.cause = filename, reason, detail, cause or reason

    def __str__(self) -> str:
        return f"{self.filename}: {self.detail}"


class ConfigError(RagError):
    code = "invalid_config"

    def __init__(self, where: str, message: str) -> None:
        super().__init__(where, message)
        self.where, self.message = where, message

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ModelNotFoundError(ConfigError):
    code = "model_not_found"
    param = "model"  # of a request

    def __init__(self, where: str, name: str, aliases: list[str]) -> None:
        super().__init__(where, f"no model named {name!r}{did_you_mean(name, sorted(aliases))}")
        self.args = (where, name, aliases)
        self.name, self.aliases = name, aliases


class ModelLoadError(RagError):
    code = "model_load_failed"

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(name, detail)
        self.name, self.detail = name, detail

    def __str__(self) -> str:
        return f"model {self.name!r} does not load: {self.detail}"


class UnequalVectorsError(RagError):
    """A fallback of the embedder gives other vectors, so it must not answer. `model` is its alias."""

    code = "unequal_vectors"

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(model, detail)
        self.model, self.detail = model, detail

    def __str__(self) -> str:
        return f"model {self.model!r} does not give the embedder's vectors, so it is no fallback: {self.detail}"


class UnusableVectorError(RagError):
    """A model behind a URL, which embeds other texts, gives a vector for this one that no search can use."""

    code = "unusable_vector"

    def __init__(self, stage: str, model: str, reason: str) -> None:
        super().__init__(stage, model, reason)
        self.stage, self.model, self.reason = stage, model, reason

    def __str__(self) -> str:
        return f"model {self.model!r} gives no usable vector for this text: {self.reason}; change the text or the model"


class OverloadedError(RagError):
    code = "overloaded"

    def __init__(self, stage: str, retry_after_s: float = 1.0) -> None:
        super().__init__(stage, retry_after_s)
        self.stage, self.retry_after_s = stage, retry_after_s

    def __str__(self) -> str:
        return f"the {self.stage} stage has a full queue; try again in {self.retry_after_s:g} s"


class RateLimitedError(RagError):
    """`whose` has used up a limit of `what`, such as requests a minute. `reset_s`: until all of it is back."""

    code = "rate_limit_exceeded"
    retry_after_s: float

    def __init__(self, what: str, limit: int, whose: str, retry_after_s: float, reset_s: float = 0.0) -> None:
        super().__init__(what, limit, whose, retry_after_s, reset_s)
        self.what, self.limit, self.whose = what, limit, whose
        self.retry_after_s, self.reset_s = retry_after_s, reset_s

    def __str__(self) -> str:
        wait = f"try again in {math.ceil(self.retry_after_s)} s"
        return f"the {self.whose} has used its limit of {self.limit} {self.what}; {wait}"


class StorageQuotaError(RagError):
    """The tenant `whose` would go beyond its limit of `what`, such as stored bytes. Only deleting helps."""

    code = "storage_quota_exceeded"

    def __init__(self, what: str, limit: int, whose: str) -> None:
        super().__init__(what, limit, whose)
        self.what, self.limit, self.whose = what, limit, whose

    def __str__(self) -> str:
        return f"the tenant {self.whose} would go beyond its limit of {self.limit} {self.what}; delete files first"


class DeadlineExceededError(RagError):
    code = "deadline_exceeded"

    def __init__(self, stage: str, budget_s: float) -> None:
        super().__init__(stage, budget_s)
        self.stage, self.budget_s = stage, budget_s

    def __str__(self) -> str:
        return f"the {self.stage} stage did not answer within {self.budget_s:.3g} s"


class StageUnavailableError(RagError):
    code = "stage_unavailable"

    def __init__(self, stage: str, retry_after_s: float = 5.0) -> None:
        super().__init__(stage, retry_after_s)
        self.stage, self.retry_after_s = stage, retry_after_s

    def __str__(self) -> str:
        return f"no replica of the {self.stage} stage can answer; try again in {self.retry_after_s:g} s"


class DegradedError(StageUnavailableError):
    """A stage was left out of the result, which the request does not take. `reason`: see Trace.reasons."""

    code = "degraded"

    def __init__(self, stage: str, reason: str, retry_after_s: float = 5.0) -> None:
        super().__init__(stage, retry_after_s)
        self.args = (stage, reason, retry_after_s)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.stage} is missing ({self.reason}), and the request says degrade: never; try again in "
            f"{self.retry_after_s:g} s"
        )


class StageDownError(StageUnavailableError):
    code = "stage_down"


class BreakerOpenError(StageDownError):
    """The stage failed for the last calls, so that this one was not sent."""

    code = "breaker_open"

    def __str__(self) -> str:
        return f"the {self.stage} stage does not answer, so it is left out; try again in {self.retry_after_s:.3g} s"


class ModelUnavailableError(StageDownError):
    """A model behind a URL gives no usable answer. `model` is its alias; `reason` has no address and no text."""

    code = "model_unavailable"

    def __init__(self, stage: str, model: str, reason: str, retry_after_s: float = 5.0) -> None:
        super().__init__(stage, retry_after_s)
        self.args = (stage, model, reason, retry_after_s)
        self.model, self.reason = model, reason

    def __str__(self) -> str:
        return f"model {self.model!r} of the {self.stage} stage: {self.reason}; try again in {self.retry_after_s:g} s"


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


class InternalError(RagError):
    """An unexpected failure. The caller learns the stage and nothing else."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage

    def __str__(self) -> str:
        return f"the {self.stage} stage failed; the log has the details under this request's id"
