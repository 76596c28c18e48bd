"""What an event is delivered to: a webhook, or a topic of Kafka."""

from typing import Literal, Protocol

from models.corpus.outbox import Event, EventOrder

Outcome = Literal["delivered", "refused", "timeout", "unreachable"]


class DeliveryError(Exception):
    """The sink did not take the event, and `outcome` says why. The event is sent again later."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(outcome, message)
        self.outcome, self.message = outcome, message

    def __str__(self) -> str:
        return self.message


class EventSink(Protocol):
    """One target of events. `name` names its part of the outbox; `order` says which events wait for each other."""

    name: str
    order: EventOrder

    async def send(self, event: Event) -> None:
        """Return when the target has taken the event. Raises DeliveryError."""

    async def close(self) -> None:
        """Close connections. A later `send` opens them again."""
