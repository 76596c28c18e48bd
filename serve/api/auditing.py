"""Records what a caller changed, before it is acknowledged. What callers were denied is in denials.py."""

import asyncio
import json

from fastapi import Request, Response

from models.corpus.audit_log import AuditEvent, AuditLog
from serve.access.caller import Caller
from serve.access.roles import ADMINISTER, WRITE

MAX_ID_CHARS = 128
MAX_READ_BYTES = 64 * 1024  # of a response, for the id of what was made


def is_audited(operation: str) -> bool:
    """Whether the operation changes documents, or reads what only an admin may."""
    return operation in WRITE or operation in ADMINISTER


async def record(log: AuditLog, caller: Caller, operation: str, request: Request, response: Response) -> None:
    """Record an operation that succeeded. Raises DatabaseUnavailableError if that cannot be stored."""
    if response.status_code < 400:
        event = _event(caller, operation, request, response.status_code)
        made = _id_in(response)
        if made is not None:
            event.ids.setdefault("id", made)
        await asyncio.to_thread(log.add, caller.tenant, event)


def _event(caller: Caller, operation: str, request: Request, status: int) -> AuditEvent:
    ids = {name: str(value)[:MAX_ID_CHARS] for name, value in request.path_params.items()}
    return AuditEvent(caller.actor, operation, status, caller.role, request.state.request_id, ids)


def _id_in(response: Response) -> str | None:
    body = getattr(response, "body", b"")
    if not body or len(body) > MAX_READ_BYTES or response.media_type != "application/json":
        return None
    content = json.loads(body)
    made = content.get("id") if isinstance(content, dict) else None
    return made[:MAX_ID_CHARS] if isinstance(made, str) else None
