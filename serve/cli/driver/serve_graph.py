"""Small graphs on Ray Serve, in a cluster of their own, for the benchmarks with simulated and echo stages."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from ray import serve
from ray.serve.schema import LoggingConfig

from deployments.cluster.environment import free_port
from deployments.cluster.start import ClusterSize, local_cluster
from models.deadline import Deadline
from models.errors.stages import StageUnavailableError
from models.types.request_context import RequestContext
from models.types.scope import DEFAULT_TENANT
from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.servers import HOST

START_TIMEOUT_S = 60.0
POLL_S = 0.1
NUM_CPUS = 4  # counted, not owned
MAX_ONGOING = 1_000
CPU_PER_REPLICA = 0.1
WARM_UP_CLIENTS, WARM_UP_S = 8, 1.0
# As the deployment file has it; a log line a request costs every server the same.
QUIET = LoggingConfig(log_level="WARNING", enable_access_log=False)


@dataclass(frozen=True)
class Endpoint:
    """A path on a port of the loopback address."""

    port: int
    path: str

    def drive(self, bodies: Path, clients: int, seconds: float, warm_s: float = 0.0) -> LoadResult:
        """A closed loop. Raises StageUnavailableError if any request fails."""
        result = drive(Load(HOST, self.port, self.path, str(bodies), clients, seconds, warm_s=warm_s))
        if result.errors:
            raise StageUnavailableError(f"{self.path}: {result.messages[0]}")
        return result

    def warm_up(self, bodies: Path) -> None:
        """Returns once it answers, and has answered for a second. Raises StageUnavailableError."""
        self.wait_until_it_answers(bodies)
        self.drive(bodies, WARM_UP_CLIENTS, WARM_UP_S)

    def wait_until_it_answers(self, bodies: Path) -> None:
        """Returns once the first body gets an answer. Raises StageUnavailableError."""
        body = bodies.read_bytes().splitlines()[0]
        url = f"http://{HOST}:{self.port}{self.path}"
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(request, timeout=START_TIMEOUT_S).close()
                return
            except (URLError, OSError) as error:
                if time.monotonic() > end:
                    raise StageUnavailableError(f"{self.path}: {error}") from None
                time.sleep(POLL_S)


@contextmanager
def serve_cluster(logging_config: LoggingConfig = QUIET) -> Iterator[int]:
    """A Ray cluster with Serve on it; the port of Serve's proxy."""
    port = free_port()
    with local_cluster(ClusterSize(num_cpus=NUM_CPUS)):
        http_options = {"host": HOST, "port": port}
        serve.start(proxy_location="HeadOnly", http_options=http_options, logging_config=logging_config)
        yield port


def deployment(kind: type, name: str, num_replicas: int = 1, **options: Any) -> serve.Deployment:
    """A fixed number of replicas that refuse nothing and log no request; `options` are Serve's own."""
    shipped: dict[str, Any] = {"max_ongoing_requests": MAX_ONGOING, "ray_actor_options": {"num_cpus": CPU_PER_REPLICA}}
    decorate = serve.deployment(name=name, num_replicas=num_replicas, logging_config=QUIET, **(shipped | options))
    return decorate(kind)


def new_context(budget_s: float) -> RequestContext:
    """The envelope of a request with this budget."""
    return RequestContext("bench", DEFAULT_TENANT, Deadline.after(budget_s))
