"""The CPU time of a server's processes, by what they are: replicas by their deployment, and Ray's own."""

import re
from collections import defaultdict
from contextlib import suppress

import psutil

REPLICA = re.compile(r"ray::ServeReplica:[^:]*:(\w+)")
# Serve and Ray put their names into the title or the path of a process.
NAMES = {
    "ray::ServeController": "Serve's controller",
    "ray::ProxyActor": "Serve's proxy",
    "haproxy": "HAProxy",
    "raylet": "Ray",
    "gcs_server": "Ray",
    "ray/": "Ray",
    "ray::": "Ray",
}
COMMAND = "the command"


def process_name(command_line: str) -> str:
    """The deployment of a replica, else the part of Ray or Serve, else COMMAND."""
    replica = REPLICA.match(command_line)
    if replica is not None:
        return replica.group(1)
    return next((name for mark, name in NAMES.items() if mark in command_line), COMMAND)


def replicas(pid: int) -> dict[int, str]:
    """The process ids of all replicas below this process, each with its deployment."""
    names = dict[int, str]()
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            replica = REPLICA.match(" ".join(process.cmdline()))
            if replica is not None:
                names[process.pid] = replica.group(1)
    return names


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU seconds that the process and all its descendants have used so far, by `process_name`."""
    parent, used = psutil.Process(pid), defaultdict[str, float](float)
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[process_name(" ".join(process.cmdline()))] += times.user + times.system
    return dict(used)
