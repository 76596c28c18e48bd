"""The choices for answers that a vector store's metadata has: `ragserve.response_mode`, `.language` and `.length`.

Metadata is OpenAI's, so every client can set it. Its values are texts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.answer_form import AnswerForm
from models.errors.requests import InvalidRequestError
from serve.api.sampling import LanguageOption, LengthOption, ResponseModeOption

PREFIX = "ragserve."
_FIELDS: dict[str, TypeAdapter[Any]] = {
    "response_mode": TypeAdapter(ResponseModeOption),
    "language": TypeAdapter(LanguageOption),
    "length": TypeAdapter(LengthOption),
}


def check_answer_metadata(metadata: Mapping[str, str]) -> None:
    """Raises InvalidRequestError for an unknown key with our prefix, and for a wrong value."""
    for key, value in metadata.items():
        name = key.removeprefix(PREFIX)
        if not key.startswith(PREFIX):
            continue
        if name not in _FIELDS:
            valid = ", ".join(f"{PREFIX}{field}" for field in _FIELDS)
            raise InvalidRequestError(f"metadata {key!r} is unknown; keys with this prefix are {valid}", "metadata")
        try:
            _value(name, value)
        except ValidationError as error:
            raise InvalidRequestError(f"metadata {key!r}: {error.errors()[0]['msg']}", "metadata") from None


def to_form(metadata: Sequence[Mapping[str, str]]) -> AnswerForm:
    """The choices of several stores: the first store that has one decides. Wrong values of old releases are none."""
    form = AnswerForm()
    for of_store in metadata:
        form = form.completed_by(AnswerForm(**dict(_choices(of_store))))
    return form


def _choices(metadata: Mapping[str, str]) -> Sequence[tuple[str, Any]]:
    choices: list[tuple[str, Any]] = []
    for name in _FIELDS:
        if f"{PREFIX}{name}" not in metadata:
            continue
        try:
            choices.append((name, _value(name, metadata[f"{PREFIX}{name}"])))
        except ValidationError:
            continue
    return choices


def _value(name: str, text: str) -> Any:
    is_number = name == "length" and text.isascii() and text.isdigit() and len(text) < 3
    return _FIELDS[name].validate_python(int(text) if is_number else text)
