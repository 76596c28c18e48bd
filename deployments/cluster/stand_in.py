#!/usr/bin/env python3
"""Serve in the place of a HAProxy that died, until Ray Serve has started another one, which takes half a minute.

    stand_in.py PID MANAGER_PID BINARY ARGUMENTS…

haproxy.py starts it beside HAProxy, whose process PID it watches. It uses the standard library alone, as haproxy.py.
MANAGER_PID is Serve's process that started HAProxy. Serve must notice the death, so the stand-in has an admin socket
of its own. Both have the port: Linux gives each of them a share of new connections.
"""

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time

SUFFIX = ".stand-in"
POLL_S = 0.2
HANDOVER_S = 20.0  # after the manager died: its successor starts HAProxy, unless Serve itself has ended
LONGEST_S = 300.0
DRAIN_S = 60.0  # for answers under way
SOCKET = re.compile(r"(stats socket) (\S+)[^\n]*")
PR_SET_PDEATHSIG = 1


def routes(config: str) -> set[str]:
    """The backends of the service: Serve first starts HAProxy without any."""
    return set(re.findall(r"^\s*use_backend (\S+)", config, re.MULTILINE))


def socket_path(config: str) -> str:
    """The admin socket. Raises ValueError."""
    match = SOCKET.search(config)
    if match is None:
        raise ValueError("the configuration has no admin socket")
    return match[2]


def answers(path: str) -> bool:
    """Whether a HAProxy listens on the admin socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        return client.connect_ex(path) == 0


def main(pid: int, manager_pid: int, binary: str, arguments: list[str]) -> None:
    _wait_for_end(pid)
    path = arguments[arguments.index("-f") + 1]
    # A reload has replaced it, or the service ends.
    if not _is_alive(manager_pid) or answers(socket_path(_read(path))):
        return
    command = [binary, "-db", "-f", _written(path), *(["-dR"] if "-dR" in arguments else [])]
    _stand_in(command, path, manager_pid)


def _stand_in(command: list[str], path: str, manager_pid: int) -> None:
    """Run it until HAProxy is back, with the routes of the service; then let it finish its answers."""
    process = subprocess.Popen(command, preexec_fn=_die_with_parent)
    end = time.monotonic() + LONGEST_S
    while not _is_back(path) and time.monotonic() < end:
        if not _is_alive(manager_pid):
            end = min(end, time.monotonic() + HANDOVER_S)
            manager_pid = os.getpid()
        if process.poll() is not None:
            process = subprocess.Popen(command, preexec_fn=_die_with_parent)
        time.sleep(POLL_S)
    process.send_signal(signal.SIGUSR1)
    try:
        process.wait(DRAIN_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _is_back(path: str) -> bool:
    config = _read(path)
    return bool(routes(config)) and routes(config) <= set(_ask(socket_path(config), "show backend").splitlines())


def _ask(path: str, command: str) -> str:
    """The answer of the admin socket; empty without a HAProxy."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(path)
            client.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: client.recv(65_536), b"")).decode()
    except OSError:
        return ""


def _written(path: str) -> str:
    """The file of the same configuration with another admin socket."""
    config = _read(path)
    own = SOCKET.sub(rf"\1 {socket_path(config)}{SUFFIX} mode 600 level user", config)
    with open(path + SUFFIX, "w") as file:
        file.write(own)
    return path + SUFFIX


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _wait_for_end(pid: int) -> None:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([watched], [], [])
    os.close(watched)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    # Serve's process ends its children and its process group when it ends, and orphans become its children: it shall
    # end the first of the two processes, not the one that serves.
    if os.fork():
        os.wait()
    else:
        os.setsid()
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
