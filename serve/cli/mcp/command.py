"""The command `ragserve mcp`."""

from serve.cli.options import DEFAULT_URL, UrlOption


def mcp(url: UrlOption = DEFAULT_URL) -> None:
    """Give a desktop agent the tools of a running service: the Model Context Protocol on stdin and stdout.

    The key comes from RAGSERVE_API_KEY.
    """
    import asyncio

    from serve.cli.mcp.forward import forward
    from serve.cli.remote import RemoteService

    with RemoteService(url) as service:
        service.check_key()  # a transport of MCP reports a refusal as a group of exceptions
    asyncio.run(forward(service.url))
