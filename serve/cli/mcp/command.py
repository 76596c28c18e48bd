"""The command `ragserve mcp`."""

from serve.cli.options import DEFAULT_URL, UrlOption


def mcp(url: UrlOption = DEFAULT_URL) -> None:
    """Give a desktop agent the tools of a running service: the Model Context Protocol on stdin and stdout.

    The key comes from RAGSERVE_API_KEY.
    """
    import asyncio

    from serve.cli.mcp.forward import forward

    asyncio.run(forward(url))
