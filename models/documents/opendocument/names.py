"""Names of OpenDocument's elements and attributes."""

from functools import cache

PREFIX = "urn:oasis:names:tc:opendocument:xmlns:"
NAMESPACES = {
    **{short: f"{PREFIX}{short}:1.0" for short in ("office", "text", "table", "style", "presentation")},
    **{"draw": f"{PREFIX}drawing:1.0", "svg": f"{PREFIX}svg-compatible:1.0", "fo": f"{PREFIX}xsl-fo-compatible:1.0"},
    "dc": "http://purl.org/dc/elements/1.1/",
}


@cache
def name(prefixed: str) -> str:
    """lxml's name of an element or attribute: `text:p` -> `{urn:...}p`."""
    prefix, _, local = prefixed.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def number(text: str | None, default: int = 1) -> int:
    """A count of at most eight digits."""
    return int(text) if text and text.isdecimal() and len(text) < 9 else default
