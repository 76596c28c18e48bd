"""Query texts as requests carry them, and the check that the service can answer them."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import StringConstraints

from models.errors.requests import InvalidRequestError

QueryText = Annotated[str, StringConstraints(min_length=1)]


def check_query_texts(texts: Sequence[str], max_chars: int, param: str = "query") -> None:
    """Raises InvalidRequestError for a blank text, and for a text longer than `max_chars`."""
    for text in texts:
        if not text.strip():
            raise InvalidRequestError("the query is empty; send a text to search for", param)
        if len(text) > max_chars:
            message = f"the query has {len(text)} characters; at most {max_chars} are allowed"
            raise InvalidRequestError(message, param)
