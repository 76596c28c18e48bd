"""Stop validation at a list's first wrong item: describing each of a million wrong items would take seconds."""

from typing import Any

from fastapi.routing import APIRoute
from pydantic_core import SchemaValidator

SEQUENCES = frozenset(["list", "tuple", "set", "frozenset"])


def fail_fast(route: APIRoute) -> None:
    """Replace the validator of the route's body."""
    if route.body_field is None:
        return
    adapter = route.body_field._type_adapter
    # The validators that pydantic has built for inner models do not fail fast, so they are built again.
    adapter.validator = SchemaValidator(_stopping(adapter.core_schema), _use_prebuilt=False)


def _stopping(schema: Any) -> Any:
    """A copy of a core schema whose sequences fail fast."""
    if isinstance(schema, dict):
        copied = {key: _stopping(value) for key, value in schema.items()}
        kind = schema.get("type")  # of a model with a field of this name, a schema
        return copied | {"fail_fast": True} if isinstance(kind, str) and kind in SEQUENCES else copied
    if isinstance(schema, list):
        return [_stopping(item) for item in schema]
    return tuple(_stopping(item) for item in schema) if type(schema) is tuple else schema
