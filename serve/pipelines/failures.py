"""Failures of a stage, which an answer can go without, and mistakes of the caller, which it cannot."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.model_failures import UnusableVectorError
from models.errors.stages import DeadlineExceededError, InternalError, StageUnavailableError

T = TypeVar("T")

# A stage that fails with one of these is left out of the answer, and `degraded` names it.
STAGE_FAILURES = (OverloadedError, DeadlineExceededError, StageUnavailableError, InternalError, UnusableVectorError)


async def attempt(call: Coroutine[Any, Any, T]) -> T | RagError:
    """The call's result, or its error as a value: when one of two concurrent calls fails, the other continues."""
    try:
        return await call
    except RagError as error:
        return error


def raise_mistakes(result: object) -> None:
    """Raises an error that is not a stage's failure, such as an unknown vector store: the caller must see it."""
    if isinstance(result, RagError) and not isinstance(result, STAGE_FAILURES):
        raise result
