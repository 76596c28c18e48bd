"""GET /, /docs and /page/{name}: the page and the API reference, static files that use the public API alone."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from models.errors.requests import NotFoundError

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "page"
READ = ["GET", "HEAD"]
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing from elsewhere, no inline script or style, and no text of a document can become markup: Trusted Types refuse
# innerHTML and its like.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cache-control": "no-cache",  # kept by the browser, which asks each time whether the ETag is still the same
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class Asset:
    """A file of the page. `etag` is a strong validator: it depends on the bytes alone."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> "Asset":
        content = path.read_bytes()
        return cls(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@cache
def assets() -> dict[str, Asset]:
    """All files of the page by name. They are read once, and are small."""
    return {path.name: Asset.read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}


@router.api_route("/", methods=READ)
async def get_page(request: Request) -> Response:
    """The page."""
    return _send("index.html", request)


@router.api_route("/docs", methods=READ)
async def get_reference(request: Request) -> Response:
    """The API reference, from /openapi.json."""
    return _send("docs.html", request)


@router.api_route("/page/{name}", methods=READ)
async def get_asset(name: str, request: Request) -> Response:
    """A script, a style or a picture of the page."""
    return _send(name, request)


def _send(name: str, request: Request) -> Response:
    """The file, or 304 if the browser has it. Raises NotFoundError for an unknown name."""
    asset = assets().get(name)
    if asset is None:
        raise NotFoundError("page", name)
    headers = HEADERS | {"etag": asset.etag}
    if _has(asset, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)


def _has(asset: Asset, if_none_match: str) -> bool:
    """Whether one of the ETags is the asset's, by RFC 9110's weak comparison: a proxy may have compressed the file."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or asset.etag in tags
