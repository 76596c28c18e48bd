"""The forms that a client may ask the text of an answer to have: OpenAI's `response_format`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.api.json_schema import JsonSchema


class TextFormat(BaseModel):
    """Text, with citations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]

    @property
    def schema_dict(self) -> None:
        return None


class JsonObjectFormat(BaseModel):
    """Any JSON object. `field_citations` says which citations support which field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["json_object"]

    @property
    def schema_dict(self) -> dict[str, Any]:
        return {"type": "object"}


class NamedSchema(BaseModel):
    """A JSON schema. Answers always follow it, with or without `strict`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    json_schema: JsonSchema = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class JsonSchemaFormat(BaseModel):
    """JSON that follows this schema. `field_citations` says which citations support which field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["json_schema"]
    json_schema: NamedSchema

    @property
    def schema_dict(self) -> dict[str, Any]:
        return self.json_schema.json_schema


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
