"""A RayCluster whose pods are local processes: the needed parts of KubeRay's operator and of a kubelet."""

import copy
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.cluster.environment import free_port
from serve.cli.kubernetes.values import SUFFIXES

NAME = NAMESPACE = "ragserve"
HEAD_GROUP, HEAD_POD = "headgroup", f"{NAME}-head"
RECONCILE_S = 0.2
MAX_STARTS = 20  # of pods, including replacements
# Ray's minimum. The manifests' 1 GB for each of five nodes would not fit into a small machine's /dev/shm.
OBJECT_STORE_BYTES = 80 * 1000**2

Json = dict[str, Any]


@dataclass
class Pod:
    """A node of the Ray cluster."""

    name: str
    group: str
    process: subprocess.Popen[bytes]
    is_deleted: bool = False

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def manifest(self) -> Json:
        """The fields that the autoscaler reads."""
        kind = "head" if self.group == HEAD_GROUP else "worker"
        labels = {"ray.io/cluster": NAME, "ray.io/node-type": kind, "ray.io/group": self.group}
        metadata = {"name": self.name, "namespace": NAMESPACE, "labels": labels, "resourceVersion": "1"}
        if self.is_deleted:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        state = "terminated" if self.has_ended else "running"
        return {"metadata": metadata, "status": {"containerStatuses": [{"state": {state: {}}}]}}


class Kubelet:
    """Starts pods with the command and the environment that KubeRay's operator sets in a Ray container."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One address per pod. Not 127.0.0.1: Ray would replace it by the machine's address.
        self._addresses = (f"127.0.0.{last}" for last in range(2, 2 + MAX_STARTS))
        self.head_address = next(self._addresses)
        self.gcs_port = free_port()

    @property
    def gcs_address(self) -> str:
        return f"{self.head_address}:{self.gcs_port}"

    def start(self, group: Json, name: str) -> subprocess.Popen[bytes]:
        """`group` is a headGroupSpec or one of the workerGroupSpecs. The output goes to `name`.log."""
        is_head = "groupName" not in group
        command = ["ray", "start", "--block", *self._listen_options(is_head), *self._resources(group)]
        variables = {
            "RAY_CLOUD_INSTANCE_ID": name,
            "RAY_NODE_TYPE_NAME": HEAD_GROUP if is_head else group["groupName"],
            "RAY_USAGE_STATS_KUBERAY_IN_USE": "1",  # tells `ray start` that it runs on KubeRay; enables autoscaler v2
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT)

    def _listen_options(self, is_head: bool) -> list[str]:
        """Addresses and ports. Ray binds some ports on all addresses, so every pod needs its own."""
        ports = ["--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={free_port()}"]
        if not is_head:
            return [*ports, f"--node-ip-address={next(self._addresses)}", f"--address={self.gcs_address}"]
        ports += [f"--port={self.gcs_port}", f"--ray-client-server-port={free_port()}"]
        options = ["--head", "--no-monitor", "--include-dashboard=false", f"--temp-dir={self._folder}"]
        return [*ports, f"--node-ip-address={self.head_address}", *options]

    def _resources(self, group: Json) -> list[str]:
        """As the operator derives them: rayStartParams, else the container's limits. Logical resources only."""
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        memory = limits["memory"]
        labels = ",".join(f"{name}={value}" for name, value in group.get("labels", {}).items())
        return [
            f"--num-cpus={group['rayStartParams'].get('num-cpus', limits['cpu'])}",
            f"--memory={int(memory[:-2]) * SUFFIXES[memory[-2:]]}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            *([f"--labels={labels}"] if labels else []),
        ]


class RayCluster:
    """The RayCluster, its pods, and the operator's actions. Thread-safe."""

    def __init__(self, spec: Json, start: Callable[[Json, str], subprocess.Popen[bytes]]) -> None:
        self._spec = copy.deepcopy(spec)
        for group in self._spec["workerGroupSpecs"]:
            group.setdefault("scaleStrategy", {})  # the operator sets it; JSON Patch only replaces existing keys
        self._start = start
        self._lock = threading.Lock()
        self._num_started: Counter[str] = Counter()
        head = Pod(HEAD_POD, HEAD_GROUP, start(spec["headGroupSpec"], HEAD_POD))
        self._pods = {HEAD_POD: head}
        self.deleted: list[str] = []  # the groups of the pods that workersToDelete named

    @property
    def head_has_ended(self) -> bool:
        return self._pods[HEAD_POD].has_ended

    def manifest(self) -> Json:
        with self._lock:
            metadata = {"name": NAME, "namespace": NAMESPACE, "resourceVersion": "1"}
            spec = copy.deepcopy(self._spec)
            return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}

    def pods(self) -> list[Json]:
        with self._lock:
            return [pod.manifest() for pod in self._pods.values()]

    def patch(self, operations: list[Json]) -> None:
        """Apply a JSON Patch to the spec; supports `replace` only. Raises KeyError for a missing path."""
        with self._lock:
            for operation in operations:
                _, root, *parents, last = operation["path"].split("/")
                target: Any = {"spec": self._spec}[root]
                for key in parents:
                    target = target[int(key)] if isinstance(target, list) else target[key]
                if operation["op"] != "replace" or last not in target:
                    raise KeyError(operation["path"])
                target[last] = operation["value"]

    def num_pods(self) -> dict[str, int]:
        """Existing pods by worker group, including those being deleted."""
        with self._lock:
            counts = Counter(pod.group for pod in self._pods.values())
            return {group["groupName"]: counts[group["groupName"]] for group in self._spec["workerGroupSpecs"]}

    def reconcile(self) -> None:
        """One reconciliation of the operator.

        A pod that exited is replaced: on a busy machine a raylet may start too late for `ray start`. The pod of a
        drained node does not exit; it is deleted later.
        """
        with self._lock:
            for group in self._spec["workerGroupSpecs"]:
                self._delete(group["scaleStrategy"].get("workersToDelete", []))
            self._pods = {name: pod for name, pod in self._pods.items() if pod.group == HEAD_GROUP or not pod.has_ended}
            for group in self._spec["workerGroupSpecs"]:
                self._start_missing(group)

    def kill(self) -> None:
        """Kill all pods at the end of the test."""
        with self._lock:
            for pod in self._pods.values():
                pod.process.kill()
                pod.process.wait()

    def _delete(self, names: list[str]) -> None:
        for pod in (self._pods[name] for name in names if name in self._pods):
            if not pod.is_deleted:
                pod.is_deleted = True
                pod.process.terminate()
                self.deleted.append(pod.group)

    def _start_missing(self, group: Json) -> None:
        name = group["groupName"]
        active = [pod for pod in self._pods.values() if pod.group == name and not pod.is_deleted]
        for _ in range(group["replicas"] - len(active)):
            self._num_started[name] += 1
            pod_name = f"{NAME}-{name}-{self._num_started[name]}"  # names are never reused
            self._pods[pod_name] = Pod(pod_name, name, self._start(group, pod_name))


@contextmanager
def operator(cluster: RayCluster) -> Iterator[None]:
    """Reconcile periodically until the block ends."""
    stopped = threading.Event()

    def reconcile_until_stopped() -> None:
        while not stopped.wait(RECONCILE_S):
            cluster.reconcile()

    thread = threading.Thread(target=reconcile_until_stopped)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
