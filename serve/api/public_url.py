"""The service's own address in URLs of answers. A caller must not choose it, and the Host header is the caller's."""

from fastapi import Request

from serve.settings import ApiLimits


def public_base(request: Request, api: ApiLimits) -> str:
    """`api.public_url`; or the request's host, if `api.allowed_hosts` has let it in; or "", for relative URLs."""
    base = api.public_url or (str(request.base_url) if api.allowed_hosts else "")
    return base.rstrip("/")
