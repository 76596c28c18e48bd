"""Templates of a prompt set: which placeholders a text may have, checked when the file is read."""

import re
from collections.abc import Callable
from string import Formatter

from pydantic import AfterValidator, Field

_LIKE_A_PLACEHOLDER = re.compile(r"\{\w*\}")
MAX_TEXT_CHARS = 8000
Bounded = Field(min_length=1, max_length=MAX_TEXT_CHARS)


def template(*required: str, optional: tuple[str, ...] = ()) -> AfterValidator:
    """A check of a text with placeholders: all of `required` are in it, and none but those and `optional`."""
    allowed = (*required, *optional)
    return AfterValidator(_checker(lambda text: _check(text, required, allowed)))


def _checker(check: Callable[[str], None]) -> Callable[[str], str]:
    def checked(text: str) -> str:
        check(text)
        return text

    return checked


def _check(text: str, required: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    names = _names(text)
    for name in names:
        if name not in allowed:
            valid = ", ".join(f"{{{each}}}" for each in allowed)
            raise ValueError(f"unknown placeholder {{{name}}}; this text may have {valid}; write {{{{ for a brace")
    for name in required:
        if name not in names:
            raise ValueError(f"the placeholder {{{name}}} is missing")


def _names(text: str) -> list[str]:
    """The placeholders in order. A format or a conversion belongs to the name, so that it is refused."""
    try:
        fields = [field for field in Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"a brace has no partner ({error}); write {{{{ or }}}} for a brace") from None
    return [_spelled(name or "", conversion, form) for _, name, form, conversion in fields]


def _spelled(name: str, conversion: str | None, form: str | None) -> str:
    return name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")


def _check_plain(text: str) -> None:
    match = _LIKE_A_PLACEHOLDER.search(text)
    if match:
        raise ValueError(f"this text has no placeholders; remove {match[0]}")


PLAIN = AfterValidator(_checker(_check_plain))
