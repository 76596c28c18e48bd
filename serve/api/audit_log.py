"""GET /v1/audit_log: what callers changed, and what they were denied. Our own."""

import asyncio
from typing import Any

from fastapi import APIRouter

from models.corpus.audit_log import RecordedEvent
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep, TenantRoute

router = APIRouter(route_class=TenantRoute)


@router.get("/v1/audit_log")
async def list_events(services: ServicesDep, tenant: TenantDep, page: PageDep) -> dict[str, Any]:
    """Lists changes and denials of the tenant, newest first. It has ids, and no text and no key."""
    return to_list(await asyncio.to_thread(services.corpus.audit_log.page, tenant, page), _to_body)


def _to_body(recorded: RecordedEvent) -> dict[str, Any]:
    event = recorded.event
    return {
        "id": recorded.event_id,
        "object": "audit_event",
        "created_at": recorded.created_at,
        "actor": event.actor,
        "role": event.role,
        "action": event.action,
        "status": event.status,
        "request_id": event.request_id,
        "ids": event.ids,
        "address": event.address,
    }
