"""Request contexts and envelopes for tests."""

from dataclasses import replace

from deployments.calls.envelope import Envelope
from models.deadline import Deadline
from models.types.request_context import BACKGROUND_PRIORITY, NORMAL_PRIORITY, RequestContext
from models.types.scope import DEFAULT_TENANT

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the example of the W3C's specification


def within(budget_s: float) -> RequestContext:
    """A request of the default tenant that has `budget_s` from now."""
    return RequestContext("test", DEFAULT_TENANT, Deadline.after(budget_s))


def envelope(budget_s: float) -> Envelope:
    """The same, as a replica receives it."""
    return Envelope.of(within(budget_s))


def of_two_tenants() -> list[RequestContext]:
    """Two requests that differ in everything that an envelope has."""
    return [
        RequestContext("req_1", "tenant-a", Deadline.after(30), NORMAL_PRIORITY, TRACEPARENT),
        RequestContext("req_2", "tenant-b", Deadline.after(60), BACKGROUND_PRIORITY),
    ]


def assert_arrived(envelopes: list[Envelope], contexts: list[RequestContext]) -> None:
    """Every field of each context is in its envelope, whose time has only become less."""
    assert len(envelopes) == len(contexts)
    for arrived, context in zip(envelopes, contexts, strict=True):
        sent = Envelope.of(context)
        assert replace(arrived, budget_s=0) == replace(sent, budget_s=0)
        assert sent.budget_s <= arrived.budget_s <= sent.budget_s + 30
