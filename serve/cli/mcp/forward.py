"""An MCP server on stdin and stdout that forwards each message to a running service."""

from typing import Any

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from serve.cli.remote import RemoteError
from serve.cli.service_address import key_headers
from serve.cli.trust import trust

TIMEOUT_S = 120.0  # of one message: an answer may take query.total_s
Context = ServerRequestContext[Any, Any]


async def forward(url: str) -> None:
    """Serve until stdin ends; `url` has no slash at its end.

    Raises RemoteError if the service refuses the first message or does not answer.
    """
    try:
        async with httpx2.AsyncClient(
            headers=key_headers(), timeout=TIMEOUT_S, trust_env=False, verify=trust(url)
        ) as http:
            transport = streamable_http_client(f"{url}/mcp", http_client=http)
            async with Client(transport, read_timeout_seconds=TIMEOUT_S) as service:
                server = _server(service)
                async with stdio_server() as (reading, writing):
                    await server.run(reading, writing, server.create_initialization_options())
    except* (httpx2.HTTPError, MCPError) as failures:
        raise RemoteError(f"{url}: {_innermost(failures)}") from None


def _innermost(failure: BaseException) -> BaseException:
    """The first exception within groups of exceptions."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _server(service: Client) -> Server[Any]:
    """A server whose every answer is the service's."""

    async def list_tools(_: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return await service.list_tools(cursor=_cursor(params))

    async def call_tool(_: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return await service.call_tool(params.name, params.arguments)

    async def list_resources(_: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        return await service.list_resources(cursor=_cursor(params))

    async def list_templates(
        _: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return await service.list_resource_templates(cursor=_cursor(params))

    async def read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        return await service.read_resource(params.uri)

    return Server(
        "ragserve",
        instructions=service.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )


def _cursor(params: types.PaginatedRequestParams | None) -> str | None:
    return params.cursor if params else None
