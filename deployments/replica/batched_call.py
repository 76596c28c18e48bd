"""The calls that a TokenBatcher computes: each caller's encodings, and their outputs so far."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.replica.fair_shares import NO_FLOW, Flow
from models.deadline import Deadline
from models.remote.origin import Origin, current_origin, send_for
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray


class Encoder(Protocol):
    """The part of a model that the batcher uses."""

    def forward(self, batch: Sequence[Encoding]) -> Sequence[Any] | FloatArray:
        """One output for each encoding, in one forward pass."""


def forward(origin: Origin, model: Encoder, encodings: list[Encoding]) -> Sequence[Any] | FloatArray:
    """The model's outputs, in this thread for `origin`. Raises ValueError unless there is one for each encoding."""
    send_for(origin)
    outputs = model.forward(encodings)
    if len(outputs) != len(encodings):
        raise ValueError(f"{type(model).__name__} gave {len(outputs)} outputs for {len(encodings)} encodings")
    return outputs


Keep = Callable[[int, Any], None]  # gets an output, and the place of its encoding in the call


def drop_output(place: int, output: Any) -> None:
    """Keep nothing for later calls."""


@dataclass(eq=False)
class Call:
    """One caller's encodings for one model, and their outputs so far. More encodings may still come in.

    `keep` gets each output, whether or not the caller still waits. `is_in_order`: the first encodings matter most.
    """

    model: Encoder
    deadline: Deadline
    number: int  # in the order of arrival
    keep: Keep = drop_output
    is_in_order: bool = False
    flow: Flow = NO_FLOW
    queued: "list[Item]" = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    num_tokens: int = 0
    num_missing_tokens: int = 0
    error: BaseException | None = None
    arrived_at: float = field(default_factory=time.perf_counter)
    traceparent: str = field(default_factory=lambda: current_origin().traceparent)
    has_begun: bool = False  # to be computed
    is_over: bool = False  # its caller has left, with or without the outputs
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_active(self) -> bool:
        return not self.is_over and self.error is None and self.deadline.remaining_s() > 0

    @property
    def origin(self) -> Origin:
        return Origin(self.deadline, self.traceparent)

    def add(self, encodings: Sequence[Encoding]) -> int:
        """Queue more encodings. Returns their number of tokens."""
        first = len(self.outputs)
        items = [Item(self, position, encoding) for position, encoding in enumerate(encodings, first)]
        self.queued += items
        self.outputs += [None] * len(items)
        num_tokens = sum(item.num_tokens for item in items)
        self.num_tokens += num_tokens
        self.num_missing_tokens += num_tokens
        return num_tokens

    def settle(self, item: "Item", output: Any) -> None:
        self.outputs[item.position] = output
        self.num_missing_tokens -= item.num_tokens
        self.changed.set()
        try:
            self.keep(item.position, output)
        except Exception as error:  # noqa: BLE001, it may be the user's own model; the error goes to its caller
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.changed.set()

    async def until_missing(self, num_tokens: int) -> None:
        """Wait until at most `num_tokens` are not computed yet. Raises the call's error."""
        while self.num_missing_tokens > num_tokens:
            self.changed.clear()
            await self.changed.wait()
            if self.error is not None:
                raise self.error


class Item:
    """One encoding of a call."""

    def __init__(self, call: Call, position: int, encoding: Encoding) -> None:
        self.call, self.position, self.encoding = call, position, encoding
        self.num_tokens = max(1, len(encoding))  # an empty text counts as one token
