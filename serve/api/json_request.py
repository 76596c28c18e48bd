"""The JSON body of a request, before its route reads it: text that is text, and the names of models."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request

from models.errors import InvalidRequestError
from serve.api.client_names import served_name

if TYPE_CHECKING:
    from serve.api.services import Services

# A body without these has no half of a surrogate pair: an escape, its first byte, an encoding other than UTF-8.
_SUSPICIOUS = (b"\\u", b"\xed", b"\x00")


class JsonRequest(Request):
    """A request whose body names the models of this service: `api.model_aliases` has replaced a client's names."""

    async def json(self) -> Any:
        """Raises InvalidRequestError for a field that comes twice, and for text with half of a surrogate pair."""
        raw = await self.body()
        body = json.loads(raw, object_pairs_hook=_with_each_field_once)
        if any(each in raw for each in _SUSPICIOUS):
            _check_text(body)
        return _with_served_name(body, self.app.state.services)


class ExtraJsonRequest(JsonRequest):
    """A request whose body has `extra`: a missing one is that of `api.extra`."""

    async def json(self) -> Any:
        body, api = await super().json(), self.app.state.services.settings.api
        if api.extra == "refuse" or not isinstance(body, dict):
            return body
        return {"extra": api.extra, **body}


def _with_served_name(body: Any, services: "Services") -> Any:
    name = body.get("model") if isinstance(body, dict) else None
    if not isinstance(name, str):
        return body
    served = served_name(name, services.settings.api.model_aliases, services.catalog)
    return body if served == name else {**body, "model": served}


def _with_each_field_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        name = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise InvalidRequestError("this field comes twice", name)
    return fields


def _check_text(body: Any) -> None:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        path = next(_broken_texts(body, ()), ())
        message = "the text has half of a surrogate pair (U+D800 to U+DFFF); send whole characters"
        raise InvalidRequestError(message, ".".join(path) or None) from None


def _broken_texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of the texts that UTF-8 cannot hold; of the object, if its key is broken."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _broken_texts(key, path)
            yield from _broken_texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _broken_texts(item, (*path, str(number)))
    elif isinstance(value, str) and not _is_text(value):
        yield path


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
