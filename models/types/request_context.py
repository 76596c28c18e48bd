"""The sender, priority and deadline of a request, within one process."""

from dataclasses import dataclass, replace

from models.deadline import Deadline

NORMAL_PRIORITY = 0  # a client waits for the answer
BACKGROUND_PRIORITY = -1  # ingestion and migration


@dataclass(frozen=True)
class RequestContext:
    """The sender, priority and deadline of a request: an argument of every stage.

    A higher `priority` is more urgent. `trace_context` is a W3C traceparent, or empty. Without `use_caches` the request
    neither reads nor fills a cache. Never send this to another process, whose clock differs: send an Envelope
    (deployments/calls/envelope.py).
    """

    request_id: str
    tenant: str
    deadline: Deadline
    priority: int = NORMAL_PRIORITY
    trace_context: str = ""
    use_caches: bool = True

    # Set by the client, who may wait for less than others: its work is not shared with equal requests.
    is_hurried: bool = False

    def remaining_s(self) -> float:
        """Return the seconds left, never negative."""
        return self.deadline.remaining_s()

    def at_most(self, budget_s: float) -> "RequestContext":
        """Return a copy whose deadline is the earlier of its own and `budget_s` from now."""
        return replace(self, deadline=self.deadline.at_most(budget_s))
