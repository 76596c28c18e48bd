"""Records what a caller changed before it is acknowledged, and what a caller was denied."""

import asyncio
import json
import logging
from collections import OrderedDict
from time import monotonic

from fastapi import Request, Response

from models.corpus.audit_log import AuditEvent, AuditLog
from models.errors import RagError
from serve.access.caller import Caller
from serve.access.roles import ADMINISTER, WRITE

logger = logging.getLogger(__name__)

MAX_ID_CHARS = 128
DENIAL_S, MAX_DENIALS = 1.0, 4096
_denied_at: OrderedDict[tuple[str, str, str], float] = OrderedDict()
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


async def record_denial(log: AuditLog, caller: Caller, operation: str, request: Request) -> None:
    """Record an operation that was refused. The caller is told of the refusal even if that cannot be stored.

    The same denial again within DENIAL_S is not stored: a caller cannot fill the log, or keep the database busy.
    """
    now, denial = monotonic(), (caller.tenant, caller.actor, operation)
    if now - _denied_at.get(denial, float("-inf")) < DENIAL_S:
        return
    _denied_at[denial] = now
    _denied_at.move_to_end(denial)
    if len(_denied_at) > MAX_DENIALS:
        _denied_at.popitem(last=False)
    try:
        await asyncio.to_thread(log.add, caller.tenant, _event(caller, operation, request, 403))
    except RagError as error:
        logger.warning("a denial was not recorded: %s", error)


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
