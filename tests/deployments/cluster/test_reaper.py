"""The watcher that ends what a service leaves. Each test has a process of its own, whose descendants all end."""

import signal
import subprocess
import sys

from tests.conftest import ROOT

BEGIN = """
import os, signal, subprocess, sys
import psutil
from deployments.cluster.reaper import kill_descendants, reaper

def start():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
"""
SIGNALLED = """
with reaper() as watcher:
    child = start()
    os.kill(watcher, signal.SIGTERM)
    os.kill(watcher, signal.SIGINT)
print(child.wait(), psutil.pid_exists(watcher))
"""
INCOMPLETE = """
with reaper() as watcher:
    child = start()
    kill_descendants(watcher)
    print(child.wait(), psutil.Process(watcher).status() != psutil.STATUS_ZOMBIE)
"""


def printed_by(program: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return ended.stdout.split()


def test_signals_to_every_process_of_a_service_leave_the_watcher_at_work() -> None:
    assert printed_by(SIGNALLED) == [str(-signal.SIGKILL), "False"]


def test_an_incomplete_start_is_ended_at_once_but_for_the_watcher() -> None:
    assert printed_by(INCOMPLETE) == [str(-signal.SIGKILL), "True"]
