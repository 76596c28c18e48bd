"""The attributes of a file as filters and searches see them: the caller's, and those that its text tells."""

from typing import Any

from sqlalchemy import Row

from models.filters import Attributes


def effective_attributes(row: Row[*tuple[Any, ...]]) -> Attributes:
    """Of a row with the columns `attributes` and `derived`. The caller's attribute wins where both have a name."""
    attributes: Attributes = row.attributes
    return {**row.derived, **attributes} if row.derived else attributes
