"""Shutdown periods of a pod: how long Serve, HAProxy, Ray and Kubernetes wait, each longer than the one inside it."""

import math
from dataclasses import dataclass
from typing import Any

from models.errors.configuration import ConfigError
from serve.settings import Settings


@dataclass(frozen=True)
class Drain:
    """Shutdown periods in seconds. Each contains the periods above it.

    A stage finishes its running requests. No question lasts longer than `query.total_s`.
        stage = total + MARGIN
    An ingress replica stays reachable until every HAProxy has removed it, then finishes its requests.
        ingress = DEREGISTER + request_timeout + MARGIN
    The replicas of a drained node first start elsewhere, which may take a new node and a model download. Serve stops
    the old replicas one shutdown period before the node's deadline, whether the new ones are ready or not.
        node = replacement + max(stage, ingress, graceful_shutdown_timeout_s of the deployment file)
    Before all of this, the pod leaves the endpoints of its Service. Kubernetes kills the pod at the end.
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
        """Raises ConfigError if requests have no timeout."""
        timeout = (raw.get("http_options") or {}).get("request_timeout_s")
        if not timeout:
            raise ConfigError(
                "http_options.request_timeout_s", "must be set: without it a pod cannot be drained in time"
            )
        request_s = math.ceil(timeout)
        stage_s = math.ceil(settings.query.total_s) + cls.MARGIN_S
        ingress_s = cls.DEREGISTER_S + request_s + cls.MARGIN_S
        deployments = raw["applications"][0]["deployments"]
        configured = [math.ceil(each.get("graceful_shutdown_timeout_s") or 0) for each in deployments]
        node_s = replacement_s + max(stage_s, ingress_s, *configured)
        return cls(request_s, stage_s, ingress_s, node_s, cls.PRE_STOP_S + node_s + cls.MARGIN_S)

    def graceful_s(self, deployment: dict[str, Any]) -> int:
        """graceful_shutdown_timeout_s of the deployment: the computed period, or the configured one if it is longer."""
        needed = self.ingress_s if deployment["name"] == "Ingress" else self.stage_s
        return max(needed, math.ceil(deployment.get("graceful_shutdown_timeout_s") or 0))

    def environment(self) -> dict[str, str]:
        """Environment variables for Ray, on every pod."""
        return {
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(self.node_s),
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(self.DEREGISTER_S),
            "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(self.DEREGISTER_S),
            # After a reload, the previous HAProxy process must finish its requests within this time.
            "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(self.request_s + self.MARGIN_S),
        }
