"""The envelope of each item in a message to a replica: request id, tenant, remaining time, priority, trace context."""

from collections.abc import Iterable
from dataclasses import dataclass

from models.deadline import Deadline
from models.types.request_context import NORMAL_PRIORITY, RequestContext


@dataclass(frozen=True)
class Envelope:
    """A RequestContext on its way to another process. Clocks differ, so it has the remaining seconds, `budget_s`."""

    request_id: str
    tenant: str
    budget_s: float
    priority: int = NORMAL_PRIORITY
    trace_context: str = ""

    @staticmethod
    def of(context: RequestContext) -> "Envelope":
        """The envelope that the caller sends. Transport time is not subtracted."""
        budget_s = context.deadline.remaining_s()
        return Envelope(context.request_id, context.tenant, budget_s, context.priority, context.trace_context)

    def to_context(self) -> RequestContext:
        """The replica's context. Its deadline is on the replica's own clock, and counts from now."""
        deadline = Deadline.after(self.budget_s)
        return RequestContext(self.request_id, self.tenant, deadline, self.priority, self.trace_context)


def longest_budget_s(envelopes: Iterable[Envelope]) -> float:
    """The budget of a message: a message is late when all of its requests are late."""
    return max(envelope.budget_s for envelope in envelopes)
