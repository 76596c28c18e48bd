"""/v1/user_facts: what users said about themselves, listed and deleted. Our own."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from models.corpus.user_facts import UserFact
from serve.api.ids import STORABLE
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

User = Annotated[
    str,
    Query(min_length=1, max_length=512, pattern=STORABLE, description="`safety_identifier` or `user` of the requests."),
]


@router.get("/v1/user_facts")
async def list_facts(user: User, services: ServicesDep, tenant: TenantDep, page: PageDep) -> dict[str, Any]:
    """Lists the facts that are kept about a user, last stated first."""
    facts = await asyncio.to_thread(services.corpus.user_facts.page, tenant, user, page)
    return to_list(facts, _to_body)


@router.delete("/v1/user_facts")
async def delete_facts(user: User, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes all facts about a user."""
    number = await asyncio.to_thread(services.corpus.user_facts.delete_all, tenant, user)
    return {"object": "user_facts.deleted", "user": user, "deleted": number}


@router.delete("/v1/user_facts/{fact_id}")
async def delete_fact(fact_id: str, user: User, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes one fact about a user."""
    await asyncio.to_thread(services.corpus.user_facts.delete, tenant, user, fact_id)
    return {"id": fact_id, "object": "user_fact", "deleted": True}


def _to_body(fact: UserFact) -> dict[str, Any]:
    return {"id": fact.fact_id, "object": "user_fact", "text": fact.text, "stated_at": fact.stated_at}
