"""What vLLM's engine says of a request beside its output: how long it waited, and the trace that it belongs to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from models.types.generation import CompletionRequest, GenerationRequest

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput

Observe = Callable[[str, float], None]  # a request's id, and its seconds in the engine's queue


def observe_nothing(request_id: str, queue_s: float) -> None:
    """Nobody measures the queue."""


@dataclass(frozen=True)
class FollowedCall:
    """A request's call of the engine. `begun` gets the seconds in the engine's queue.

    `trace_headers` make the engine's spans a part of the request's trace, if that is recorded; None: it has no trace.
    """

    begun: Callable[[float], None]
    trace_headers: Mapping[str, str] | None = None

    @staticmethod
    def of(request: GenerationRequest | CompletionRequest, observe: Observe, is_traced: bool) -> "FollowedCall":
        """`is_traced`: the engine exports spans."""
        headers = {"traceparent": request.trace_context} if is_traced and request.trace_context else None
        return FollowedCall(partial(observe, request.request_id), headers)

    def note_begun(self, output: "RequestOutput") -> None:
        """Read the first output of the engine. Without statistics (disable_log_stats) it says nothing."""
        if (times := output.metrics) is not None:
            self.begun(max(0.0, times.scheduled_ts - times.queued_ts))
