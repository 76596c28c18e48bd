"""Why the ingestion of a file failed for good."""

from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

FailureReason = Literal[
    "unsupported_file",  # no parser reads it
    "invalid_file",  # it is damaged, encrypted or without text
    "too_complex",  # parsing it broke a limit of memory or time
    "parser_crash",
    "parser_error",  # a bug of the parser
    "worker_died",  # each attempt ended with its worker
    "stage_unavailable",  # each attempt ended with the stage that it called
    "deadline_exceeded",
    "unusable_vector",  # the embedding model has none for one of its chunks
    "internal_error",
]
UNKNOWN_REASON: FailureReason = "internal_error"  # also of a file from a backup of an earlier release
_FAILURE_REASONS = frozenset(get_args(FailureReason))


@dataclass(frozen=True)
class Failure:
    """Why a file failed for good. `failed_at` is in Unix seconds, None for a failure of an earlier release."""

    reason: str
    num_attempts: int
    failed_at: int | None


def is_failure_reason(name: str) -> TypeGuard[FailureReason]:
    return name in _FAILURE_REASONS
