"""The fields of a response against the schema: each declared one is there, and of its type."""

from collections.abc import Iterator
from typing import Any

from serve.cli.conformance.description import Description, Schema, type_name

Field = tuple[str, str]  # its path, and what is wrong with it


def response_fields(description: Description, schema: Schema, value: Any, path: str = "") -> Iterator[Field]:
    """Every declared field of the objects that the value has. Of a union, those of the variant that the value is.

    A deprecated field may be missing.
    """
    if isinstance(value, list):
        for items in [each["items"] for each in description.variants(schema) if "items" in each][:1]:
            for item in value:
                yield from response_fields(description, items, item, path)
        return
    if not isinstance(value, dict):
        return
    variant = _variant_of(description, schema, value)
    kind = type_name(variant) if path and len(description.variants(schema)) > 1 else ""
    here = f"{path}[{kind}]" if kind else path
    for name, declared in variant.get("properties", {}).items():
        yield from _field(description, declared, value, f"{here}.{name}" if here else name, name)


def _field(description: Description, declared: Schema, value: dict[str, Any], path: str, name: str) -> Iterator[Field]:
    if "x-oaiSupportedSDKs" in str(declared):
        return  # only clients compute it
    if name not in value:
        if not description.resolve(declared).get("deprecated"):
            yield path, "absent"
        return
    problem = description.problem(declared, value[name])
    yield path, problem
    if not problem:
        yield from response_fields(description, declared, value[name], path)


def _variant_of(description: Description, schema: Schema, value: dict[str, Any]) -> Schema:
    """The variant with the value's `type`, else the first that the value satisfies."""
    variants = [each for each in description.variants(schema) if "properties" in each]
    named = [each for each in variants if "type" in value and type_name(each) == value["type"]]
    fitting = (each for each in named or variants if not description.problem(each, value))
    return next(fitting, (named or variants or [{}])[0])
