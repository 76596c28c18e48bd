"""The names of query parameters and form fields: an unknown or repeated one is refused, so none is ignored."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.params import Form

from models.errors.requests import InvalidRequestError
from models.errors.suggestions import did_you_mean

MAX_NAME_CHARS = 100  # of a name in a message
MULTIPART = "multipart/form-data"


@dataclass(frozen=True)
class RequestNames:
    """What a route takes. `form_fields` is None for a route that reads no form, or reads it itself."""

    query_parameters: frozenset[str]
    form_fields: frozenset[str] | None

    @classmethod
    def of(cls, dependant: Dependant) -> "RequestNames":
        """The names of a route and of everything it depends on."""
        flat = get_flat_dependant(dependant)
        has_form = any(isinstance(field.field_info, Form) for field in flat.body_params)
        form_fields = frozenset(field.alias for field in flat.body_params) if has_form else None
        return cls(frozenset(field.alias for field in flat.query_params), form_fields)

    async def check(self, request: Request) -> None:
        """Raises InvalidRequestError for a name that the route does not know, or that comes twice."""
        parameters = (name for name, _ in request.query_params.multi_items())
        _check(parameters, self.query_parameters, "query parameter")
        if self.form_fields is not None and is_multipart(request):
            await check_form(request, self.form_fields)


def is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith(MULTIPART)


async def check_form(request: Request, fields: frozenset[str]) -> None:
    """Raises InvalidRequestError for a form with other fields, or with one of them twice."""
    form = await request.form()
    try:
        _check((name for name, _ in form.multi_items()), fields, "form field")
    except InvalidRequestError:
        await form.close()
        raise


def _check(names: Iterable[str], valid_names: frozenset[str], kind: str) -> None:
    for name, num_times in Counter(names).items():
        shown = name[:MAX_NAME_CHARS]
        if name not in valid_names:
            advice = did_you_mean(name, sorted(valid_names)) if valid_names else "; this route takes none"
            raise InvalidRequestError(f"{shown}: unknown {kind}{advice}", shown)
        if num_times > 1 and not name.endswith("[]"):
            raise InvalidRequestError(f"{shown}: send this {kind} once, not {num_times} times", shown)
