"""What a fault is: a name, and a block that injects it at its beginning and takes it back at its end."""

from contextlib import AbstractContextManager
from typing import Protocol

LASTS_S = 20.0  # as long a fault stays that does not end by itself


class Fault(Protocol):
    """Once `inject` is entered, the service may recover. A fault that lasts has ended by then."""

    @property
    def name(self) -> str: ...

    def inject(self) -> AbstractContextManager[None]: ...
