"""What travels beside each item of a message to a replica: who sent it, how urgent it is, and its remaining time."""

from collections.abc import Iterable
from dataclasses import dataclass

from models.types import NORMAL_PRIORITY, Deadline, RequestContext


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
        """What the caller sends. The seconds on the way are not subtracted."""
        budget_s = context.deadline.remaining_s()
        return Envelope(context.request_id, context.tenant, budget_s, context.priority, context.trace_context)

    def to_context(self) -> RequestContext:
        """What the replica works with: the deadline is on its own clock, and counts from now."""
        deadline = Deadline.after(self.budget_s)
        return RequestContext(self.request_id, self.tenant, deadline, self.priority, self.trace_context)


def request_ids(envelopes: Iterable[Envelope]) -> str:
    """The requests of a message, for a log line."""
    return ", ".join(dict.fromkeys(envelope.request_id for envelope in envelopes))


def longest_budget_s(envelopes: Iterable[Envelope]) -> float:
    """When a message is late: when all of its requests are."""
    return max(envelope.budget_s for envelope in envelopes)
