"""Files that failed for good, and the audit log."""

from typing import Literal

from pydantic import Field

from models.corpus.failures import FailureReason
from serve.api.description.shapes.base import ListShape, Shape
from serve.api.description.shapes.vector_stores import LastError


class DeadLetterObject(Shape):
    """A file that failed for good."""

    id: str
    object: Literal["dead_letter"]
    vector_store_id: str
    file_id: str
    filename: str
    reason: FailureReason
    last_error: LastError
    attempts: int
    failed_at: int | None


class DeadLetterList(ListShape):
    data: list[DeadLetterObject]


class ReplayObject(Shape):
    object: Literal["dead_letter.replay"]
    replayed: int


class AuditEventObject(Shape):
    """What a caller changed, or was denied."""

    id: str
    object: Literal["audit_event"]
    created_at: int
    actor: str = Field(description="The id of the key, or `file:` or `digest:` (unknown) and the start of a digest.")
    role: str
    action: str = Field(description="Method and route, or a command of `ragserve`.")
    status: int = Field(description="The HTTP status: 401 and 403 were denied. 0: a command on the service's machine.")
    request_id: str
    ids: dict[str, str] = Field(
        description="What it concerns; `id` is what was made, `unrecorded` how many denials before were not recorded."
    )
    address: str = Field(description="Of a client that was denied; else empty.")


class AuditEventList(ListShape):
    data: list[AuditEventObject]
