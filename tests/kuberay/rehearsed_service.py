"""The RayService of the rehearsal: the overlay `cpu` as rendered, with short scaling periods."""

from pathlib import Path
from typing import Any

from deployments.cluster.environment import free_port
from serve.cli.kubernetes.render import TEMPLATE_FILE, render
from tests.kuberay.conftest import KUBERAY, ROOT, service_of

# Groups, labels, placement and sizes come from the overlay; the renderer computes the minimum and maximum of pods.
# There are fewer replicas, because everything runs on two cores. A pod of the class `embedding` holds one replica of
# each of its stages; a pod of `generation` holds one replica.
VALUES = """
extends: {cpu}
classes:
  cpu: {{idle_timeout_s: 5}}
  embedding: {{idle_timeout_s: 5}}
  generation: {{idle_timeout_s: 5}}
deployments:
  Ingress: {{autoscaling_config: {{min_replicas: 1, max_replicas: 1}}}}
  DenseSearcher: {{autoscaling_config: {{min_replicas: 1, max_replicas: 1}}}}
  LexicalSearcher: {{autoscaling_config: {{min_replicas: 1, max_replicas: 1}}}}
  Parser: {{autoscaling_config: {{min_replicas: 1, max_replicas: 1}}}}
  Reranker: {{autoscaling_config: {{min_replicas: 1, max_replicas: 1}}}}
  Embedder: {{autoscaling_config: {{min_replicas: 1, max_replicas: 2, {scaling}}}}}
  Generator: {{autoscaling_config: {{min_replicas: 0, max_replicas: 1, {scaling}}}}}
"""
SCALING = (
    "upscale_delay_s: 1, downscale_delay_s: 2, look_back_period_s: 2, metrics_interval_s: 1, "
    "policy: {policy_function: 'deployments.autoscaling:LatencyBudgetPolicy', policy_kwargs: {hold_s: 2}}"
)
DEPLOYED = ("Ingress", "Embedder", "Reranker", "Generator")
COLD_START_S = 180  # request timeout: longer than the start of the first node of a class


def rendered(folder: Path) -> dict[str, Any]:
    """The RayService. Writes the overlay into `folder`."""
    overlay = folder / "overlay"
    overlay.mkdir()
    (overlay / "values.yaml").write_text(VALUES.format(cpu=KUBERAY / "overlays" / "cpu", scaling=SCALING))
    return service_of(render(ROOT / "serve_config.yaml", overlay, KUBERAY / TEMPLATE_FILE))


def on_this_machine(serve_config: dict[str, Any]) -> dict[str, Any]:
    """With stages that sleep, without the stages that get no requests, and with one proxy on a free port."""
    application = serve_config["applications"][0]
    deployments = [deployment for deployment in application["deployments"] if deployment["name"] in DEPLOYED]
    for deployment in deployments:
        deployment.pop("user_config", None)
    application |= {"import_path": "tests.kuberay.timed_stages:build", "args": {}, "deployments": deployments}
    listen = {"host": "127.0.0.1", "port": free_port(), "request_timeout_s": COLD_START_S}
    return serve_config | {"proxy_location": "HeadOnly", "http_options": listen}
