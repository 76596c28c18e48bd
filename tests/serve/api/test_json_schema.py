from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from serve.api.json_schema import MAX_OBJECTS, JsonSchema

SCHEMA = TypeAdapter(JsonSchema)
TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#/$defs/leaf"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        TREE | {"$defs": {"leaf": {"type": "number"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#"}}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"$ref": "https://example.org/schema"},
        {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "string"}}},
    ],
)
def test_a_schema_that_ends_is_kept_as_it_is(schema: dict[str, Any]) -> None:
    assert SCHEMA.validate_python(schema) == schema


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b~1c"}, "b/c": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"$ref": "#/properties/a"}]}}},
    ],
)
def test_a_reference_that_leads_only_to_itself_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="leads only to itself"):
        SCHEMA.validate_python(schema)


def test_a_schema_of_too_many_objects_is_refused() -> None:
    with pytest.raises(ValidationError, match=f"over {MAX_OBJECTS} objects"):
        SCHEMA.validate_python({"properties": {str(number): {} for number in range(MAX_OBJECTS)}})
