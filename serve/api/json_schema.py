"""A caller's JSON schema, checked before an engine builds a grammar of it."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

MAX_OBJECTS = 1_000  # of the schema in all; an engine takes 4 s for 900 properties, and 16 s for 2,000
_ALTERNATIVES = ("allOf", "anyOf", "oneOf")


def check_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it is.

    Raises PydanticCustomError for too many objects, and for a reference that leads to itself with no value between:
    `{"$ref": "#"}` allows no JSON at all, and an engine looks for its end for ever.
    """
    objects = list(_objects(schema))
    if len(objects) > MAX_OBJECTS:
        raise PydanticCustomError(
            "schema_too_large", "the schema has over {most} objects; make it smaller", {"most": MAX_OBJECTS}
        )
    for each in objects:
        if "$ref" in each and _leads_to_itself(each, schema):
            raise PydanticCustomError(
                "schema_endless", "the reference {ref} leads only to itself", {"ref": str(each["$ref"])}
            )
    return schema


JsonSchema = Annotated[dict[str, Any], AfterValidator(check_schema)]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the schema, itself first."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _leads_to_itself(start: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether references and alternatives alone lead from a schema back to it."""
    waiting, visited = list(_next(start, root)), set[int]()
    while waiting:
        each = waiting.pop()
        if each is start:
            return True
        if id(each) not in visited:
            visited.add(id(each))
            waiting += _next(each, root)
    return False


def _next(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas that a value must follow as well, by reference or as an alternative."""
    target = _resolve(schema.get("$ref"), root)
    members = [member for name in _ALTERNATIVES if isinstance(schema.get(name), list) for member in schema[name]]
    yield from (each for each in (target, *members) if isinstance(each, dict))


def _resolve(reference: Any, root: dict[str, Any]) -> Any:
    """What a JSON pointer within the schema points to; None for any other reference. Source: RFC 6901."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    value: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        value = value.get(name) if isinstance(value, dict) else None
    return value
