"""The dependencies of the routes: one object on the application's state, and the caller's tenant."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import Scope

from deployments.calls.stage_breaker import StageBreaker
from deployments.telemetry.logs import LoggedRequest, log_as
from models.breaker import State
from models.catalog import Catalog
from models.corpus.audit_log import AuditLog
from models.corpus.corpus import Corpus
from models.corpus.database import is_storable
from models.errors.access import ForbiddenError, UnauthorizedError
from models.errors.requests import NotFoundError
from serve.access.caller import EVERYBODY, Caller
from serve.access.credentials import Access
from serve.access.limits import RequestLimits
from serve.access.readers import readable_filter
from serve.access.roles import check_role, role_of
from serve.access.stored_limits import StoredLimits
from serve.api.auditing import is_audited, record
from serve.api.background_responses import BackgroundResponses
from serve.api.client_deadline import in_time
from serve.api.denials import Denials
from serve.api.fail_fast import fail_fast
from serve.api.json_request import ExtraJsonRequest, JsonRequest
from serve.api.limited_view import check_store, limited_view
from serve.api.request_limits import within_limits
from serve.api.request_names import RequestNames
from serve.api.rollout_look import RolloutLook
from serve.pipelines.answering import Answering
from serve.pipelines.ingest_worker import IngestWorker
from serve.pipelines.readable import ReadableAnswering, ReadableRetrieval
from serve.pipelines.recent_answers import RecentAnswers
from serve.pipelines.retrieving import Retrieving
from serve.pipelines.stages import CompletionStage, EmbedStage, RerankStage, StatusSource
from serve.quality.document_canary import DocumentCanary
from serve.settings import Settings

CREDENTIAL_HEADERS = ("authorization", "x-api-key")


class BackgroundWork(Protocol):
    async def run(self) -> None:
        """Run until cancelled."""


class InlineReplica(Protocol):
    """A stage inside this process."""

    async def start(self) -> None:
        """Load the model or index, before the first request."""

    async def check_health(self) -> None:
        """Raises if the replica cannot serve."""


async def no_stages() -> frozenset[str]:
    """Answers need every stage."""
    return frozenset()


@dataclass(frozen=True)
class Services:
    """Everything that routes call. Without `access`, every caller is the default tenant and keys are ignored.

    `dependencies` has the state of the breaker of each server that this process calls. `unneeded_stages` are those
    that answers do without now, as configured. `background_problems` are an operator's, in words.

    `recent` has what the last answers lost. `rollout` reports the deployments that Serve is changing, and blocks.
    `limits` None: tenants and keys have none. `aliases` caches the model that each stage last reported: see
    check_served.
    """

    settings: Settings
    catalog: Catalog
    corpus: Corpus
    retrieval: Retrieving
    query: Answering
    completions: CompletionStage
    embedder: EmbedStage
    reranker: RerankStage
    ingest: IngestWorker
    background: Sequence[BackgroundWork]
    stages: Mapping[str, StatusSource]
    breakers: Mapping[str, Sequence[StageBreaker]] = field(default_factory=dict)
    dependencies: Callable[[], Mapping[str, State]] = dict
    unneeded_stages: Callable[[], Awaitable[frozenset[str]]] = no_stages
    background_problems: Callable[[], Sequence[str]] = tuple
    access: Access | None = None
    limits: RequestLimits | None = None
    stored_limits: StoredLimits | None = None
    inline: Sequence[InlineReplica] = ()
    canary: DocumentCanary | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    recent: RecentAnswers = field(default_factory=RecentAnswers)
    rollout: Callable[[], Mapping[str, str]] | None = None
    rollout_look: RolloutLook = field(default_factory=RolloutLook)
    background_responses: BackgroundResponses = field(default_factory=BackgroundResponses)
    denials: Denials = field(default_factory=Denials)

    @property
    def audit_log(self) -> AuditLog | None:
        """None: nothing is recorded."""
        return self.corpus.audit_log if self.access and self.settings.api.audit_log else None


class TenantRoute(APIRoute):
    """A route that needs a tenant. A caller without a valid key is refused before the body is read.

    Unknown and repeated names of query parameters and form fields are refused too. `request_class` reads the body.
    """

    request_class: type[JsonRequest] = JsonRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        fail_fast(self)
        handler = super().get_route_handler()
        names = RequestNames.of(self.dependant)
        (operation,) = (f"{method} {self.path}" for method in self.methods)
        needed, is_recorded = role_of(operation), is_audited(operation)

        async def authorized(request: Request) -> Response:
            request = self.request_class(request.scope, request.receive)
            services: Services = request.app.state.services
            caller = await identify(services, request.scope, operation)
            state = request.state
            log_as(LoggedRequest(state.request_id, state.tenant, state.trace_context))
            log = services.audit_log
            try:
                check_role(caller, operation, needed)
            except ForbiddenError:
                if log is not None:
                    await services.denials.record_forbidden(log, caller, operation, request.scope)
                raise
            _check_ids(request, caller)
            # Questions are counted before their body is read: see AdmissionLimit.
            is_question = getattr(state, "is_question", False)
            limits = None if is_question else services.limits
            async with within_limits(limits, caller, operation) as rate_headers:
                await names.check(request)
                response = await (in_time(request, handler) if is_question else handler(request))
            response.headers.update(rate_headers)
            if log is not None and is_recorded:
                await record(log, caller, operation, request, response)
            return response

        return authorized


def _check_ids(request: Request, caller: Caller) -> None:
    """Raises NotFoundError for an id in the path that no database can hold, or a store that the caller may not see."""
    if "vector_store_id" in request.path_params:
        check_store(caller, request.path_params["vector_store_id"])
    for name, value in request.path_params.items():
        if not is_storable(str(value)):
            raise NotFoundError(name.removesuffix("_id").replace("_", " "), str(value))


async def identify(services: Services, scope: Scope, operation: str) -> Caller:
    """The caller of a request by its key, found once. Raises UnauthorizedError, which is recorded."""
    state = scope.setdefault("state", {})
    caller: Caller | None = state.get("caller")
    if caller is None:
        access = services.access
        try:
            caller = EVERYBODY if access is None else await access.caller(_authorization(Headers(scope=scope)))
        except UnauthorizedError as error:
            if (log := services.audit_log) is not None:
                tenant = services.settings.api.audit_tenant
                await services.denials.record_unauthorized(log, tenant, operation, scope, error)
            raise
        state["caller"], state["tenant"] = caller, caller.tenant
    return caller


def _authorization(headers: Headers) -> str | None:
    """The credential, in OpenAI's header or in Anthropic's. Raises UnauthorizedError for a header with two values.

    A proxy in front may have checked the other one.
    """
    for name in CREDENTIAL_HEADERS:
        if len(set(headers.getlist(name))) > 1:
            raise UnauthorizedError(f"the header {name} was sent with several values; send one credential")
    authorization, key = (headers.get(name) for name in CREDENTIAL_HEADERS)
    return authorization or (f"Bearer {key}" if key else None)


class ExtraRoute(TenantRoute):
    """A route whose body has `extra`, with the default of `api.extra`."""

    request_class = ExtraJsonRequest


# FastAPI runs a dependency that is not async in the thread pool, which takes time.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    caller: Caller | None = getattr(request.state, "caller", None)  # None: a probe
    if caller is None or not caller.is_limited:
        return services
    services = replace(services, corpus=limited_view(services.corpus, caller))
    if caller.readers is None:
        return services
    readable = readable_filter(caller.readers)
    return replace(
        services,
        query=ReadableAnswering(services.query, readable),
        retrieval=ReadableRetrieval(services.retrieval, readable),
    )


async def _caller(request: Request) -> Caller:
    return request.state.caller


async def _tenant(request: Request) -> str:
    # Fails on a route that is not a TenantRoute, instead of serving an unknown caller.
    return request.state.tenant


ServicesDep = Annotated[Services, Depends(_services)]
TenantDep = Annotated[str, Depends(_tenant)]
CallerDep = Annotated[Caller, Depends(_caller)]
