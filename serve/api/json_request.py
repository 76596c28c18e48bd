"""The JSON body of a request, before its route reads it: its size and depth, its texts, and the names of models."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request

from models.errors.requests import InvalidRequestError
from serve.api.client_names import served_name

if TYPE_CHECKING:
    from serve.api.services import Services

# A body without these has no half of a surrogate pair: an escape, its first byte, an encoding other than UTF-8.
_SUSPICIOUS = (b"\\u", b"\xed", b"\x00")
# A longer body is parsed in a thread: 64 KiB take about a millisecond of the event loop.
INLINE_BYTES = 64 * 1024
MAX_DEPTH = 64  # objects and lists in one another; JSON schemas of agents have about ten
MAX_CONTAINERS = 100_000  # objects and lists: the garbage collector visits each, and all else waits meanwhile
MAX_VALUES = 600_000  # texts with the names of fields, and items: each is an object of Python; 500,000 are token ids
MAX_FIELDS = 1_000  # of one object: each unknown one is an error of its own
TOO_MANY_VALUES = f"the body has too many texts and numbers; send at most {MAX_VALUES}"


class JsonRequest(Request):
    """A request whose body names the models of this service: `api.model_aliases` has replaced a client's names."""

    async def json(self) -> Any:
        """Raises InvalidRequestError for what `parse` refuses."""
        raw = await self.body()
        body = parse(raw) if len(raw) <= INLINE_BYTES else await asyncio.to_thread(parse, raw)
        return _with_served_name(body, self.app.state.services)


class ExtraJsonRequest(JsonRequest):
    """A request whose body has `extra`: a missing one is that of `api.extra`."""

    async def json(self) -> Any:
        body, api = await super().json(), self.app.state.services.settings.api
        if api.extra == "refuse" or not isinstance(body, dict):
            return body
        return {"extra": api.extra, **body}


def parse(raw: bytes) -> Any:
    """The JSON value of a body.

    Raises InvalidRequestError for too many objects, lists or values, or too deep in one another, for a field that
    comes twice, an object with too many fields, and text with half of a surrogate pair; ValueError or RecursionError
    for what is not JSON.
    """
    check_size(raw)
    body = json.loads(raw, object_pairs_hook=_with_each_field_once)
    if _num_containers(raw) > MAX_DEPTH:
        _check_depth(body)
    if any(each in raw for each in _SUSPICIOUS):
        _check_text(body)
    return body


def check_size(raw: bytes) -> None:
    """Raises InvalidRequestError for a body of too many objects and lists, or of too many values."""
    num_texts = (raw.count(b'"') - raw.count(b'\\"')) // 2
    if num_texts > MAX_VALUES:
        raise InvalidRequestError(TOO_MANY_VALUES)
    if _num_containers(raw) <= MAX_CONTAINERS and raw.count(b",") <= MAX_VALUES:
        return
    outside = _without_texts(raw)
    if _num_containers(outside) > MAX_CONTAINERS:
        raise InvalidRequestError(f"the body has too many objects and lists; send at most {MAX_CONTAINERS}")
    if outside.count(b",") > MAX_VALUES:
        raise InvalidRequestError(TOO_MANY_VALUES)


def _num_containers(raw: bytes) -> int:
    return raw.count(b"{") + raw.count(b"[")


def _without_texts(raw: bytes) -> bytes:
    """What stands outside quotation marks."""
    return b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _check_depth(body: Any) -> None:
    """Level by level, without recursion."""
    level = [body] if isinstance(body, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [item for value in level for item in _items(value) if isinstance(item, dict | list)]
    if level:
        raise InvalidRequestError(f"the body is nested too deeply; send at most {MAX_DEPTH} levels")


def _items(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _with_served_name(body: Any, services: "Services") -> Any:
    name = body.get("model") if isinstance(body, dict) else None
    if not isinstance(name, str):
        return body
    served = served_name(name, services.settings.api.model_aliases, services.catalog)
    return body if served == name else {**body, "model": served}


def _with_each_field_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_FIELDS:
        raise InvalidRequestError(f"an object has {len(pairs)} fields; at most {MAX_FIELDS} are allowed")
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
