"""`python -m tests.kuberay.nodes_follow`: rehearse how nodes follow the load. The last line of output is the report.

It runs in a separate process, because a process can use one Ray cluster, and the test process uses the session's.
"""

import json
import os
import secrets
import sys
import tempfile
from pathlib import Path

from deployments.cluster import environment
from deployments.cluster.reaper import reaper

# Settings that deployments/cluster/environment.py does not change.
VARIABLES = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    # Otherwise each node would start a worker per CPU, but its CPUs are logical here.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "0",
}
ROOT = Path(__file__).parents[2]
LAST_LINES = 40


def prepare(folder: Path) -> None:
    """Set the environment of all processes of the cluster, including this one. Call it before Ray is imported."""
    environment.apply()
    os.environ.update(VARIABLES)
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_TMPDIR"] = str(folder)
    os.environ["AUTOSCALER_METRIC_PORT"] = str(environment.free_port())
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["PYTHONPATH"] = str(ROOT)  # replicas import timed_stages


def main() -> None:
    # pytest's folder is too long: a socket path is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-") as name, reaper():
        folder = Path(name)
        prepare(folder)
        from tests.kuberay.rehearsal import rehearse

        try:
            report = rehearse(folder)
        except BaseException:
            _print_logs(folder)
            raise
        sys.stdout.write(json.dumps(report) + "\n")


def _print_logs(folder: Path) -> None:
    """Print the end of each log before the folder is deleted."""
    for path in sorted(folder.glob("*.log")):
        end = "\n".join(path.read_text(errors="replace").splitlines()[-LAST_LINES:])
        sys.stderr.write(f"--- {path.name}\n{end}\n")


if __name__ == "__main__":
    main()
