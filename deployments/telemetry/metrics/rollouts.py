"""Changes of the deployments, as Ray Serve reports them."""

from deployments.telemetry.buffered_metrics import Counter, Gauge, Histogram
from deployments.telemetry.metrics.buckets import ROLLOUT_BUCKETS

DEPLOYMENT_STATE = Gauge(
    "ragserve_deployment_state",
    "1 for the state of a deployment that Ray Serve reports, such as healthy or updating; 0 for earlier ones.",
    ["deployment", "state"],
    multiprocess_mode="livemostrecent",
)
ROLLOUTS = Counter(
    "ragserve_rollouts_total",
    "Roll-outs of a deployment, counted once on each node with an ingress; outcome is started, finished or failed.",
    ["deployment", "outcome"],
)
ROLLOUT_SECONDS = Histogram(
    "ragserve_rollout_seconds",
    "Time of a roll-out of a deployment, to within 5 s; outcome is finished or failed.",
    ["deployment", "outcome"],
    buckets=ROLLOUT_BUCKETS,
)
