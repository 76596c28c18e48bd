"""A RayCluster whose pods are processes of this machine: the parts of KubeRay's operator and of a kubelet."""

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
MAX_STARTS = 20  # of pods, the replaced ones with them
# Ray's least; the manifests' 1 GB for each of five nodes would not fit into a small machine's /dev/shm.
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
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def manifest(self) -> Json:
        """What the autoscaler reads of a pod."""
        kind = "head" if self.group == HEAD_GROUP else "worker"
        labels = {"ray.io/cluster": NAME, "ray.io/node-type": kind, "ray.io/group": self.group}
        metadata = {"name": self.name, "namespace": NAMESPACE, "labels": labels, "resourceVersion": "1"}
        if self.is_deleted:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        state = "terminated" if self.is_over else "running"
        return {"metadata": metadata, "status": {"containerStatuses": [{"state": {state: {}}}]}}


class Kubelet:
    """Starts pods: the command and the environment that KubeRay's operator gives to a Ray container."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Each pod has an address of its own. Not 127.0.0.1: Ray would take the machine's address in its place.
        self._addresses = (f"127.0.0.{last}" for last in range(2, 2 + MAX_STARTS))
        self.head_address = next(self._addresses)
        self.gcs_port = free_port()

    @property
    def gcs_address(self) -> str:
        return f"{self.head_address}:{self.gcs_port}"

    def start(self, group: Json, name: str) -> subprocess.Popen[bytes]:
        """`group` is a headGroupSpec or one of the workerGroupSpecs. What the process says goes into `name`.log."""
        is_head = "groupName" not in group
        command = ["ray", "start", "--block", *self._place(is_head), *self._resources(group)]
        variables = {
            "RAY_CLOUD_INSTANCE_ID": name,
            "RAY_NODE_TYPE_NAME": HEAD_GROUP if is_head else group["groupName"],
            "RAY_USAGE_STATS_KUBERAY_IN_USE": "1",  # by which `ray start` knows KubeRay, and turns on autoscaler v2
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT)

    def _place(self, is_head: bool) -> list[str]:
        """Where it listens: some of Ray's ports are bound on every address, so no two pods may have the same."""
        ports = ["--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={free_port()}"]
        if not is_head:
            return [*ports, f"--node-ip-address={next(self._addresses)}", f"--address={self.gcs_address}"]
        ports += [f"--port={self.gcs_port}", f"--ray-client-server-port={free_port()}"]
        options = ["--head", "--no-monitor", "--include-dashboard=false", f"--temp-dir={self._folder}"]
        return [*ports, f"--node-ip-address={self.head_address}", *options]

    def _resources(self, group: Json) -> list[str]:
        """As the operator derives them: rayStartParams, else the container's limits. Counted by Ray, not owned."""
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
    """The RayCluster, its pods, and what the operator does about them. Safe between threads."""

    def __init__(self, spec: Json, start: Callable[[Json, str], subprocess.Popen[bytes]]) -> None:
        self._spec = copy.deepcopy(spec)
        for group in self._spec["workerGroupSpecs"]:
            group.setdefault("scaleStrategy", {})  # the operator writes it, and JSON Patch replaces only what is there
        self._start = start
        self._lock = threading.Lock()
        self._num_started: Counter[str] = Counter()
        head = Pod(HEAD_POD, HEAD_GROUP, start(spec["headGroupSpec"], HEAD_POD))
        self._pods = {HEAD_POD: head}
        self.deleted: list[str] = []  # the groups of the pods that workersToDelete named

    @property
    def head_is_over(self) -> bool:
        return self._pods[HEAD_POD].is_over

    def manifest(self) -> Json:
        with self._lock:
            metadata = {"name": NAME, "namespace": NAMESPACE, "resourceVersion": "1"}
            spec = copy.deepcopy(self._spec)
            return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}

    def pods(self) -> list[Json]:
        with self._lock:
            return [pod.manifest() for pod in self._pods.values()]

    def patch(self, operations: list[Json]) -> None:
        """JSON Patch of the spec, by its operation `replace` alone. Raises KeyError for what is not there."""
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
        """Of each worker group: those that are there, on the way to go or not."""
        with self._lock:
            here = Counter(pod.group for pod in self._pods.values())
            return {group["groupName"]: here[group["groupName"]] for group in self._spec["workerGroupSpecs"]}

    def reconcile(self) -> None:
        """One round of the operator.

        A pod that ended by itself is replaced: on a busy machine a raylet may be too late for `ray start`. One whose
        node was drained does not end; it waits to be deleted.
        """
        with self._lock:
            for group in self._spec["workerGroupSpecs"]:
                self._delete(group["scaleStrategy"].get("workersToDelete", []))
            self._pods = {name: pod for name, pod in self._pods.items() if pod.group == HEAD_GROUP or not pod.is_over}
            for group in self._spec["workerGroupSpecs"]:
                self._start_missing(group)

    def kill(self) -> None:
        """Ends every pod at once: the test is over."""
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
        here = [pod for pod in self._pods.values() if pod.group == name and not pod.is_deleted]
        for _ in range(group["replicas"] - len(here)):
            self._num_started[name] += 1
            pod_name = f"{NAME}-{name}-{self._num_started[name]}"  # never a name again
            self._pods[pod_name] = Pod(pod_name, name, self._start(group, pod_name))


@contextmanager
def operator(cluster: RayCluster) -> Iterator[None]:
    """Reconciles all the time while the block runs."""
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
