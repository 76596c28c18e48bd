"""For whom a request to another server is sent: the deadline, and the place in a trace.

A context variable, since the models' protocols have neither: one forward pass has texts of many questions.
"""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from models.deadline import Deadline


@dataclass(frozen=True)
class Origin:
    """`traceparent` is the W3C header of the span that sends, or empty."""

    deadline: Deadline
    traceparent: str = ""


NOBODY = Origin(Deadline.never())
_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def current_origin() -> Origin:
    """That of the current task or thread."""
    return _origin.get() or NOBODY


def send_for(origin: Origin) -> None:
    """Send what follows in this task or thread for `origin`."""
    _origin.set(origin)


def joint_origin(origins: Sequence[Origin]) -> Origin:
    """That of a request for all of them: it is late when all are. A header has one parent, the first trace's."""
    deadline = max((origin.deadline for origin in origins), key=lambda deadline: deadline.at)
    return Origin(deadline, next((origin.traceparent for origin in origins if origin.traceparent), ""))
