"""Delivery of the outbox's events."""

from deployments.telemetry.buffered_metrics import Counter, Gauge

EVENT_DELIVERIES = Counter(
    "ragserve_event_deliveries_total",
    "Deliveries of events; outcome is delivered, refused, timeout or unreachable.",
    ["sink", "outcome"],
)
EVENTS_DROPPED = Counter(
    "ragserve_events_dropped_total", "Events that were given up; reason is expired or full.", ["sink", "reason"]
)
OUTBOX_EVENTS = Gauge(
    "ragserve_outbox_events",
    "Events that wait for delivery, of all tenants.",
    ["sink"],
    multiprocess_mode="livemostrecent",
)
OUTBOX_AGE_SECONDS = Gauge(
    "ragserve_outbox_age_seconds", "Age of the oldest event that waits.", ["sink"], multiprocess_mode="livemostrecent"
)
