"""POST /mcp: the Model Context Protocol over streamable HTTP, for agents. Stateless, so any ingress replica answers.

Each request has its own server, and its key decides the tenant. The answers are JSON, never a stream of events.
"""

import asyncio
import json
import logging
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote, unquote

import mcp_types as types
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError
from starlette.types import Scope as AsgiScope

from models.corpus.records import MAX_PAGE_LIMIT, PageRequest
from models.errors.base import RagError
from models.errors.requests import InvalidRequestError, NotFoundError
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect
from serve.api.json_request import check_size
from serve.api.mcp_tools import TOOLS, Caller, Tool
from serve.api.services import ServicesDep, TenantRoute
from serve.api.version import service_version

router = APIRouter(route_class=TenantRoute)

PATH = "/mcp"
INVALID = b"validation error"  # in the protocol's own refusal
FILE_URI = "ragserve://files/"
INSTRUCTIONS = "Documents of one organisation. ask answers with citations; search and read_text give the sources."
logger = logging.getLogger(__name__)
logging.getLogger("mcp.server").setLevel(logging.WARNING)  # it tells of the start and the end of each request
Context = ServerRequestContext[Any, Any]


@router.post(PATH, include_in_schema=False)
async def mcp(request: Request, services: ServicesDep, context: ContextDep) -> Response:
    """One message of the protocol. Other methods than POST belong to sessions, and there are none."""
    message = await request.body()
    check_size(message)
    return await cancel_on_disconnect(request, _response(message, request.scope, Caller(services, context)))


async def _response(message: bytes, scope: AsgiScope, caller: Caller) -> Response:
    """What the protocol's own server answers."""
    response = Response()

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": message, "more_body": False}

    async def send(event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            response.status_code, response.raw_headers = event["status"], list(event["headers"])
        else:
            response.body += event.get("body", b"")

    manager = StreamableHTTPSessionManager(_server(caller), json_response=True, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)
    if response.status_code == 400 and INVALID in response.body:
        return _explained(message)
    if response.status_code >= 400 and response.headers.get("content-type") != "application/json":
        return _refusal(bytes(response.body).decode(errors="replace"), response.status_code)
    return response


def _refusal(message: str, status: int) -> Response:
    """A refusal in the protocol's form. Its server sends a few as plain text."""
    detail = {"code": types.INVALID_REQUEST, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": detail}, status)


def _explained(message: bytes) -> Response:
    """The refusal of a message that is none of the protocol. The protocol's server would print its own types."""
    try:
        types.JSONRPCRequest.model_validate_json(message)
        problem = "it is not of JSON-RPC 2.0"
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"{where}: {first['msg']}" if where else "it must be an object; batches are not taken"
    return _refusal(f"this is no message of JSON-RPC 2.0: {problem}", 400)


def _server(caller: Caller) -> Server[Any]:
    handlers = _Handlers(caller)
    return Server(
        "ragserve",
        version=service_version(),
        instructions=INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_resource_templates,
        on_read_resource=handlers.read_resource,
    )


class _Handlers:
    """What one caller's messages do."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list_tools(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(map(_to_tool, TOOLS)), ttl_ms=0, cache_scope="public")

    async def call_tool(self, _: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """A failure is a result with `is_error`, so that the model reads it."""
        tool = next((tool for tool in TOOLS if tool.name == params.name), None)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"no tool named {params.name!r}")
        try:
            result, text = await tool.call(_arguments(tool, params.arguments or {}), self._caller)
        except RagError as error:
            return _failure(str(error))
        except Exception:  # the protocol's own handler would show the exception's text
            logger.exception("the tool %s failed", tool.name)
            return _failure("the tool failed; the service's log has the details")
        content = types.TextContent(type="text", text=text)
        return types.CallToolResult(content=[content], structured_content=result.model_dump(mode="json"))

    async def list_resources(
        self, _: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """The caller's files, newest first."""
        request = PageRequest(MAX_PAGE_LIMIT, params.cursor if params else None, "desc")
        files = self._caller.services.corpus.files
        try:
            page = await asyncio.to_thread(files.page, self._caller.context.tenant, request)
        except InvalidRequestError as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from None
        resources = [
            types.Resource(uri=FILE_URI + quote(file.file_id), name=file.filename, mime_type="text/plain")
            for file in page.items
        ]
        cursor = page.items[-1].file_id if page.has_more else None
        return types.ListResourcesResult(resources=resources, next_cursor=cursor, ttl_ms=0, cache_scope="private")

    async def list_resource_templates(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            uri_template=f"{FILE_URI}{{file_id}}", name="file", description="A file's text.", mime_type="text/plain"
        )
        return types.ListResourceTemplatesResult(resource_templates=[template], ttl_ms=0, cache_scope="public")

    async def read_resource(self, _: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """A file's whole text."""
        uri, files = params.uri, self._caller.services.corpus.files
        try:
            if not uri.startswith(FILE_URI):
                raise NotFoundError("resource", uri)
            file_id = unquote(uri.removeprefix(FILE_URI))
            text = await asyncio.to_thread(files.text, self._caller.context.tenant, file_id)
        except RagError as error:
            raise MCPError(types.INVALID_PARAMS, str(error), {"uri": uri}) from None
        contents = types.TextResourceContents(uri=uri, text=text, mime_type="text/plain")
        return types.ReadResourceResult(contents=[contents], ttl_ms=0, cache_scope="private")


def _to_tool(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.result.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _arguments(tool: Tool, arguments: dict[str, Any]) -> Any:
    """Raises InvalidRequestError that names the argument."""
    try:
        return tool.arguments.model_validate_json(json.dumps(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequestError(f"{where}: {first['msg']}", where) from None


def _failure(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], is_error=True)
