"""A local Ray cluster with Serve on it: sized on purpose, started from a config, gone without a trace."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, LoggingConfig, ServeDeploySchema

from deployments.cluster.reaper import reaper
from models.errors import ConfigError

POLL_S = 0.2


@dataclass(frozen=True)
class ClusterSize:
    """What Ray may use. The object store carries uploaded files between replicas, little else."""

    num_cpus: float
    num_gpus: int = 0
    object_store_bytes: int = 256 * 1024**2

    @staticmethod
    def of_this_machine() -> "ClusterSize":
        return ClusterSize(num_cpus=len(os.sched_getaffinity(0)), num_gpus=count_gpus())


def count_gpus() -> int:
    """GPUs that the driver shows, without importing torch: 0 where there is no driver."""
    try:
        return len([name for name in os.listdir("/proc/driver/nvidia/gpus") if name])
    except FileNotFoundError:
        return 0


@contextmanager
def local_cluster(size: ClusterSize) -> Iterator[None]:
    """Ray in this process' care: when the block ends, however it ends, none of its processes are left."""
    with reaper():
        ray.init(
            address="local",  # a new one always: without it Ray joins a cluster that it finds on the machine
            num_cpus=size.num_cpus,
            num_gpus=size.num_gpus,
            object_store_memory=size.object_store_bytes,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="warning",
        )
        try:
            yield
        finally:
            ray.shutdown()


def deploy(config: dict[str, Any]) -> None:
    """Hands a checked serve_config to Serve, starting Serve if need be. Returns at once; see `wait_until_running`.

    Raises ConfigError.
    """
    schema = ServeDeploySchema(**config)
    try:
        serve.start(
            proxy_location=schema.proxy_location,
            http_options=schema.http_options.model_dump(),
            logging_config=schema.logging_config or LoggingConfig(),
        )
        _get_global_client().deploy_apps(schema)
    except RayError as error:
        raise ConfigError("Ray Serve", _last_line(str(error))) from error


def wait_until_running(application: str, timeout_s: float) -> None:
    """Returns when every deployment has its replicas. Raises ConfigError with Serve's reason if one cannot have."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = serve.status().applications.get(application)
        if found is not None and found.status == ApplicationStatus.RUNNING:
            return
        if found is not None and found.status == ApplicationStatus.DEPLOY_FAILED:
            raise ConfigError(application, _reason(found))
        time.sleep(POLL_S)
    raise ConfigError(application, f"is not running after {timeout_s:g} s: {_reason(found)}")


def _reason(application: Any) -> str:
    """What a person needs of Serve's messages, which hold whole tracebacks: the last line of each."""
    if application is None:
        return "Serve does not know it"
    causes = {name: _last_line(one.message) for name, one in application.deployments.items() if one.message}
    return "; ".join(f"{name}: {cause}" for name, cause in causes.items()) or _last_line(application.message)


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else ""
