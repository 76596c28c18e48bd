"""Refuses files that no parser reads when they are uploaded, without loading a parser."""

from pathlib import PurePath

from models.catalog import Catalog
from models.documents.encoding import is_binary
from models.documents.ocr.config import OcrConfig
from models.documents.signatures import Signature, signature_of
from models.errors.requests import UnreadableDocumentError

# Parsers of text: they refuse binary content.
TEXT_KINDS = frozenset(["plain_text", "markdown", "html", "json", "notebook"])


def check_readable(content: bytes, filename: str, catalog: Catalog) -> None:
    """Raises UnreadableDocumentError if the content shows that no parser of the catalog reads it.

    A catalog with parsers of the user's own may read anything.
    """
    entries = catalog.entries["parsing"]
    if any(is_own(catalog, alias) for alias in entries):
        return
    signature = signature_of(content)
    alias = catalog.extensions().get(PurePath(filename).suffix.lower())
    is_text_expected = alias is None or entries[alias].kind in TEXT_KINDS
    problem = _problem(signature, catalog) if signature is not None else ""
    if problem:
        raise UnreadableDocumentError(filename, "unsupported_file", problem)
    if signature is None and is_text_expected and is_binary(content):
        detail = f"the content is binary, of no known format; {supported(catalog)}"
        raise UnreadableDocumentError(filename, "unsupported_file", detail)


def _problem(signature: Signature, catalog: Catalog) -> str:
    """Why no parser reads a format, and what to do; "" if one does."""
    if signature.unreadable:
        return f"{signature.name}; {supported(catalog)}"
    if not signature.is_image:
        return ""
    readers = [alias for alias, entry in catalog.entries["parsing"].items() if entry.kind == "image"]
    problems = [_ocr(catalog, alias).problem for alias in readers]
    return "" if "" in problems else f"{signature.name}; {(problems or [supported(catalog)])[0]}"


def _ocr(catalog: Catalog, alias: str) -> OcrConfig:
    return OcrConfig(**(catalog.entries["parsing"][alias].options.get("ocr") or {}))


def is_own(catalog: Catalog, alias: str) -> bool:
    """Whether a parser is a class of the user's own, named as `module:Class`."""
    return ":" in catalog.entries["parsing"][alias].kind


def supported(catalog: Catalog) -> str:
    return f"supported are {', '.join(sorted(catalog.extensions()))}"
