"""OpenAI's attribute filters, as requests carry them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.filters import MAX_COMPARISONS, Comparison, ComparisonOp, Compound, CompoundOp, Filter, check_filter

Text = Annotated[str, Field(max_length=512)]
Value = Text | bool | int | float


class ComparisonBody(BaseModel):
    """Compare a file's attribute with a value; `in` and `nin` take a list of values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str = Field(min_length=1, max_length=64)
    value: Value | Annotated[tuple[Value, ...], Field(max_length=256)]

    def to_filter(self) -> Comparison:
        op: ComparisonOp = self.type
        return Comparison(op, self.key, self.value)


class CompoundBody(BaseModel):
    """Match all of `filters` (`and`), or any of them (`or`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["and", "or"]
    filters: tuple["FilterBody", ...] = Field(min_length=1, max_length=MAX_COMPARISONS)

    def to_filter(self) -> Compound:
        op: CompoundOp = self.type
        return Compound(op, tuple(body.to_filter() for body in self.filters))


FilterBody = Annotated[ComparisonBody | CompoundBody, Field(discriminator="type")]


def to_filter(body: ComparisonBody | CompoundBody | None) -> Filter | None:
    """Raises InvalidRequestError for an invalid value, and for a filter that is too deep or too large."""
    if body is None:
        return None
    where = body.to_filter()
    check_filter(where)
    return where
