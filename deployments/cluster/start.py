"""A local Ray cluster with Serve on it: started from a config, and ended without leaving a process."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve._private.common import DeploymentStatus
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, LoggingConfig, ServeDeploySchema

from deployments.cluster.reaper import kill_descendants, reaper
from deployments.telemetry.exporter_process import metrics_folder
from models.errors.configuration import ConfigError

POLL_S = 0.2
START_ATTEMPTS = 3
START_TIMEOUT = "timed out during startup"  # Ray has no type for it
BUSY = "did not start within 30 s; other programs keep this machine's cores busy: end some, or try again"

# Gets the deployments that are still starting, each with the error of its last failed attempt, or "".
StartReport = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True)
class ClusterSize:
    """The resources that Ray may use. The object store carries uploaded files between replicas, little else."""

    num_cpus: int
    num_gpus: int = 0
    object_store_bytes: int = 256 * 1024**2

    @staticmethod
    def of_this_machine() -> "ClusterSize":
        return ClusterSize(num_cpus=len(os.sched_getaffinity(0)), num_gpus=count_gpus())


def count_gpus() -> int:
    """The number of GPUs, from the driver, without importing torch; 0 without a driver."""
    try:
        return len([name for name in os.listdir("/proc/driver/nvidia/gpus") if name])
    except FileNotFoundError:
        return 0


@contextmanager
def local_cluster(
    size: ClusterSize, starting: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Iterator[Path]:
    """Start Ray and yield the folder of its logs. When the block ends, for any reason, all of Ray's processes end.

    Ray starts inside `starting()`, which may interrupt it.
    """
    with reaper() as watcher, metrics_folder():
        try:
            with _all_or_nothing(watcher), starting():
                context = _start_ray(size)
            yield Path(context.address_info["session_dir"]) / "logs"
        finally:
            ray.shutdown()


@contextmanager
def _all_or_nothing(watcher: int) -> Iterator[None]:
    """A start that does not end well leaves no process: Ray forgets those of a node that is not complete."""
    try:
        yield
    except BaseException:
        ray.shutdown()
        kill_descendants(watcher)
        raise


def _start_ray(size: ClusterSize) -> Any:
    """Ray's context. Ray gives a node 30 s to start, which a busy machine may exceed: it is started again.

    Raises ConfigError after the last attempt, whatever Ray raised: its types say nothing of the reason.
    """
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            return ray.init(
                address="local",  # always a new cluster: otherwise Ray joins one that runs on the machine
                num_cpus=size.num_cpus,
                num_gpus=size.num_gpus,
                object_store_memory=size.object_store_bytes,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        except Exception as error:
            ray.shutdown()
            if attempt == START_ATTEMPTS:
                reason = BUSY if START_TIMEOUT in str(error) else f"did not start: {_last_line(str(error))}"
                raise ConfigError("Ray", f"{reason} ({attempt} attempts)") from error


def deploy(config: dict[str, Any]) -> None:
    """Give a checked serve_config to Serve, and start Serve if necessary. Returns at once; see `wait_until_running`.

    Raises ConfigError.
    """
    schema = ServeDeploySchema(**config)
    try:
        serve.start(
            proxy_location=schema.proxy_location,
            http_options=schema.http_options.model_dump(),
            logging_config=schema.logging_config or LoggingConfig(),
        )
        client = _get_global_client()
        assert client is not None  # serve.start raises if there is no controller
        client.deploy_apps(schema)
    except (RayError, TimeoutError) as error:
        raise ConfigError("Ray Serve", _last_line(str(error))) from error


def restart_controller() -> None:
    """End Serve's controller, which Ray starts again; the replicas go on. Raises nothing if Serve is gone."""
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is not None:
        with suppress(RayError):
            ray.kill(client._controller, no_restart=False)


def _ignore(_: Mapping[str, str]) -> None:
    """Report nothing."""


def wait_until_running(application: str, timeout_s: float, report: StartReport = _ignore) -> None:
    """Wait until every deployment has its replicas; `report` gets the pending ones at each poll.

    Raises ConfigError with Serve's reason if a deployment fails, or does not start in time.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        overview = serve.status().applications.get(application)
        if overview is not None:
            report(_pending(overview))
        if overview is not None and overview.status == ApplicationStatus.RUNNING:
            return
        if overview is not None and overview.status == ApplicationStatus.DEPLOY_FAILED:
            raise ConfigError(application, _reason(overview))
        time.sleep(POLL_S)
    raise ConfigError(application, f"is not running after {timeout_s:g} s: {_reason(overview)}")


def _pending(application: Any) -> dict[str, str]:
    """Deployments that are not healthy yet, each with the error of its last failed start, or ""."""
    return {
        name: _last_line(state.message) if "Error:\n" in state.message else ""
        for name, state in application.deployments.items()
        if state.status != DeploymentStatus.HEALTHY
    }


def _reason(application: Any) -> str:
    """The last line of each of Serve's messages, which hold whole tracebacks."""
    if application is None:
        return "Serve has no application of this name"
    causes = {name: _last_line(state.message) for name, state in application.deployments.items() if state.message}
    return "; ".join(f"{name}: {cause}" for name, cause in causes.items()) or _last_line(application.message)


def _last_line(message: str) -> str:
    """The last line of a traceback, which is the error. The class names of our own errors add nothing."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return re.sub(r"^models\.errors\.\w+: ", "", lines[-1]) if lines else ""
