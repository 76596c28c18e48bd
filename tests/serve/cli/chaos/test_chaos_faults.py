"""The faults of `ragserve chaos` that need no service: each is injected, and taken back."""

import os
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from models.errors.configuration import ConfigError
from serve.cli.chaos import disk_faults
from serve.cli.chaos.clock_fault import DAY_S, ClockJump
from serve.cli.chaos.command_fault import CommandFault
from serve.cli.chaos.disk_faults import FullDisk, LockedDatabase
from serve.cli.chaos.faults import Surroundings, faults_of
from serve.cli.chaos.process_faults import Killed, Stopped
from serve.cli.chaos.server_faults import GoneServer, Server
from tests.patience import PATIENCE_S

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def wait_until_runs(pid: int) -> bool:
    end = time.monotonic() + PATIENCE_S
    while psutil.Process(pid).status() == psutil.STATUS_STOPPED and time.monotonic() < end:
        time.sleep(0.01)
    return psutil.Process(pid).status() != psutil.STATUS_STOPPED


def test_a_killed_process_is_dead_when_the_fault_begins(sleeper: "subprocess.Popen[bytes]") -> None:
    fault = Killed("it", lambda: [psutil.Process(sleeper.pid)])

    with fault.inject():
        assert sleeper.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_stopped_process_goes_on_when_the_fault_ends(sleeper: "subprocess.Popen[bytes]") -> None:
    signals = list[int]()

    class Recorded(psutil.Process):
        def send_signal(self, sig: int) -> None:
            signals.append(sig)
            super().send_signal(sig)

    with Stopped("it", lambda: [Recorded(sleeper.pid)], lasts_s=0).inject():
        goes_on = wait_until_runs(sleeper.pid)

    assert signals == [signal.SIGSTOP, signal.SIGCONT]
    assert goes_on


def test_a_process_that_is_gone_already_is_no_error(sleeper: "subprocess.Popen[bytes]") -> None:
    gone = psutil.Process(sleeper.pid)
    sleeper.kill()
    sleeper.wait()

    with Killed("it", lambda: [gone]).inject(), Stopped("it", lambda: [gone], lasts_s=0).inject():
        pass


def test_a_server_dies_with_its_children_and_is_started_again(sleeper: "subprocess.Popen[bytes]") -> None:
    (server,) = Server.of_options(
        [f"Redis={sleeper.pid}"], [f"Redis={SLEEP[0]} -c 'import time; time.sleep(600)' & echo $!"]
    )
    assert [fault.name for fault in server.faults()] == [
        "SIGKILL of Redis, back after 20 s",
        "SIGSTOP of Redis for 20 s",
    ]

    with GoneServer(server, lasts_s=0).inject():
        is_back = psutil.pid_exists(server.pid)
    psutil.Process(server.pid).kill()

    assert sleeper.wait(PATIENCE_S) == -signal.SIGKILL
    assert is_back
    assert server.pid != sleeper.pid


@pytest.mark.parametrize(
    ("servers", "restarts", "message"),
    [
        (["Redis"], [], "is to be NAME=VALUE"),
        (["Redis=no"], [], "number of a process"),
        ([f"Redis={2**30}"], [], "number of a process"),
        ([], ["Redis=true"], "no --server is called"),
    ],
)
def test_a_server_that_is_none_is_refused(servers: list[str], restarts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Server.of_options(servers, restarts)


def test_a_server_without_a_command_is_started_as_it_was(tmp_path: Path) -> None:
    first = subprocess.Popen(SLEEP, cwd=tmp_path, env=os.environ | {"MARK": "the same"})
    server = Server("Redis", first.pid)

    with GoneServer(server, lasts_s=0).inject():
        again = psutil.Process(server.pid)
        end = time.monotonic() + PATIENCE_S
        while again.cmdline() != SLEEP and time.monotonic() < end:  # the shell becomes it
            time.sleep(0.01)
        like_before = (again.cmdline(), again.cwd(), again.environ().get("MARK"))
    again.kill()

    assert first.wait(PATIENCE_S) == -signal.SIGKILL
    assert again.pid != first.pid
    assert like_before == (SLEEP, str(tmp_path), "the same")


def test_a_restart_that_names_no_process_is_refused(sleeper: "subprocess.Popen[bytes]") -> None:
    (server,) = Server.of_options([f"Redis={sleeper.pid}"], ["Redis=echo done"])

    with pytest.raises(ConfigError, match="printed 'done'"):
        server.kill()()


def test_a_server_that_ended_by_itself_is_told(sleeper: "subprocess.Popen[bytes]") -> None:
    server = Server("Redis", sleeper.pid)
    sleeper.kill()
    sleeper.wait()

    with pytest.raises(ConfigError, match="ended by itself"):
        server.kill()


def test_a_command_breaks_and_another_one_mends(tmp_path: Path) -> None:
    fault = CommandFault.of_option(f"a mark=echo broken > {tmp_path}/mark;;cp {tmp_path}/mark {tmp_path}/mended")

    with CommandFault(fault.name, fault.begin, fault.end, lasts_s=0).inject():
        content = (tmp_path / "mended").read_text()

    assert (fault.name, content) == ("a mark", "broken\n")


def test_a_command_that_fails_is_told_and_the_mending_one_runs(tmp_path: Path) -> None:
    fault = CommandFault("a mark", "echo no >&2; exit 3", f"touch {tmp_path}/mended", lasts_s=0)

    with pytest.raises(ConfigError, match="ended with 3: no"), fault.inject():
        pass
    assert (tmp_path / "mended").exists()


@pytest.mark.parametrize("text", ["name", "name=begin", "name=;;end", "=begin;;end"])
def test_a_fault_without_both_commands_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--fault"):
        CommandFault.of_option(text)


def test_a_large_disk_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = os.statvfs(tmp_path)
    monkeypatch.setattr(disk_faults, "MAX_DISK_BYTES", size.f_blocks * size.f_frsize - 1)

    assert not FullDisk(tmp_path).is_possible()


def test_the_ballast_is_gone_when_the_disk_is_to_have_room_again(tmp_path: Path) -> None:
    with FullDisk(tmp_path, lasts_s=0).inject():
        assert list(tmp_path.iterdir()) == []


def test_a_disk_is_filled_until_it_takes_no_byte() -> None:
    file = os.open("/dev/full", os.O_WRONLY)

    disk_faults._fill(file)  # returns, although no byte has a place
    os.close(file)


def test_another_error_of_the_disk_is_not_taken_for_a_full_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = os.open(tmp_path / "file", os.O_RDONLY)

    with pytest.raises(OSError, match="Bad file descriptor"):
        disk_faults._fill(file)
    os.close(file)


def test_a_locked_database_takes_writes_again(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ragserve.db") as database:
        database.execute("CREATE TABLE t (n)")
    fault = LockedDatabase(tmp_path, lasts_s=0)

    with fault.inject(), sqlite3.connect(tmp_path / "ragserve.db") as database:
        database.execute("INSERT INTO t VALUES (1)")

    assert fault.is_possible()
    assert not LockedDatabase(tmp_path / "absent").is_possible()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_jumped_is_right_again(tmp_path: Path, sign: int) -> None:
    file = tmp_path / "clock"
    file.write_bytes(bytes(8))
    node = file.stat().st_ino

    with ClockJump(file, sign * DAY_S, lasts_s=0).inject():
        ahead = struct.unpack("d", file.read_bytes())

    assert ahead == (0.0,)
    assert file.stat().st_ino == node


def test_faults_are_chosen_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(bytes(8))
    surroundings = Surroundings(tmp_path, clock=tmp_path / "clock")

    names = [fault.name for fault in faults_of(os.getpid(), "http://127.0.0.1:1", surroundings, ["CLOCK"])]

    assert names == [
        "a clock that jumps by +1 day, and back after 20 s",
        "a clock that jumps by -1 day, and back after 20 s",
    ]
    with pytest.raises(ConfigError, match="no fault has 'nothing'"):
        faults_of(os.getpid(), "http://127.0.0.1:1", surroundings, ["clock", "nothing"])
