"""The periods of a pod's end: what Serve, HAProxy, Ray and Kubernetes wait for, one inside the other."""

import math
from dataclasses import dataclass
from typing import Any

from models.errors import ConfigError
from serve.settings import Settings


@dataclass(frozen=True)
class Drain:
    """The periods of shutting down, in seconds, each long enough for those inside it.

    A stage ends what it has begun: no question lasts longer than `query.total_s`.
        stage = total + MARGIN
    An ingress replica first stays reachable until every HAProxy has heard that it goes, then ends its requests.
        ingress = DEREGISTER + request_timeout + MARGIN
    A drained node's replicas are started elsewhere first, which may take a node and a model. Serve stops the old ones
    one shutdown period before the node's deadline, ready or not.
        node = replacement + max(stage, ingress, and what the file says of its own)
    Kubernetes kills the pod after that. Before all, the pod has left the endpoints of its Service.
        termination = PRE_STOP + node + MARGIN
    """

    request_s: int
    stage_s: int
    ingress_s: int
    node_s: int
    termination_s: int

    DEREGISTER_S = 30
    PRE_STOP_S = 5
    MARGIN_S = 10

    @classmethod
    def of(cls, raw: dict[str, Any], settings: Settings, replacement_s: int) -> "Drain":
        """Raises ConfigError if a request may last for ever."""
        timeout = (raw.get("http_options") or {}).get("request_timeout_s")
        if not timeout:
            raise ConfigError("http_options.request_timeout_s", "must be set: without it no pod can be drained in time")
        request_s = math.ceil(timeout)
        stage_s = math.ceil(settings.query.total_s) + cls.MARGIN_S
        ingress_s = cls.DEREGISTER_S + request_s + cls.MARGIN_S
        deployments = raw["applications"][0]["deployments"]
        own = [math.ceil(one.get("graceful_shutdown_timeout_s") or 0) for one in deployments]
        node_s = replacement_s + max(stage_s, ingress_s, *own)
        return cls(request_s, stage_s, ingress_s, node_s, cls.PRE_STOP_S + node_s + cls.MARGIN_S)

    def graceful_s(self, deployment: dict[str, Any]) -> int:
        """graceful_shutdown_timeout_s: what the deployment needs, or more if it says so itself."""
        needed = self.ingress_s if deployment["name"] == "Ingress" else self.stage_s
        return max(needed, math.ceil(deployment.get("graceful_shutdown_timeout_s") or 0))

    def environment(self) -> dict[str, str]:
        """What Ray reads of it, on every pod."""
        return {
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(self.node_s),
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(self.DEREGISTER_S),
            "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(self.DEREGISTER_S),
            # A reloaded HAProxy's predecessor ends its requests within this.
            "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(self.request_s + self.MARGIN_S),
        }
