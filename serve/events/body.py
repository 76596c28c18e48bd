"""An event as JSON, in the shape of Standard Webhooks: the same in every sink and in each delivery."""

import json
from datetime import UTC, datetime
from typing import Any

from models.corpus.outbox import Event


def body_of(event: Event) -> bytes:
    """The event as JSON."""
    data: dict[str, Any] = {
        "tenant": event.tenant,
        "vector_store_id": event.vector_store_id,
        "file_id": event.file_id,
        "filename": event.filename,
        "version": event.version,
    }
    if event.reason is not None:
        data["reason"] = event.reason
    created_at = datetime.fromtimestamp(event.created_at, UTC).isoformat(timespec="milliseconds")
    body = {"type": event.type, "timestamp": created_at.replace("+00:00", "Z"), "data": data}
    return json.dumps(body, separators=(",", ":")).encode()
