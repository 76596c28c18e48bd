"""Run HAProxy as a child, and start it again when it dies: Ray Serve would notice its death after half a minute.

Ray runs this as a program, so it uses the standard library alone. Serve takes this process for HAProxy:

- Serve waits until the admin socket names the pid of the process that it started. So this process owns that socket. It
  passes each command on to the socket of its child, and puts its own pid into the answer to `show info`.
- A reload starts a second process like this one. Its HAProxy fetches the listening sockets of the first one (`-x`), and
  signals the pids that Serve names (`-sf`). This process passes these signals on, and then lets its child end.
- Serve stops HAProxy with SIGKILL of this process. The kernel then kills its child.
- If Serve's manager of HAProxy dies, this process stays, until its node ends. The HAProxy of the next manager takes
  over as in a reload, with the same routes until Serve sends it others.
"""

import asyncio
import ctypes
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.02
NODE_POLL_S = 0.5
ANSWER_S = 5.0  # Serve waits as long for the admin socket
PAUSE_S = 0.1
MAX_FAILED_STARTS = 50
ENDS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)  # at once, or after the last request
PAUSES = (signal.SIGTTOU, signal.SIGTTIN)  # from a successor that wants the ports, or gives them back
PID = re.compile(rb"^Pid: (\d+)$", re.MULTILINE)
ADMIN_SOCKET = re.compile(r"(\n\s+stats socket) (\S+)")
APPLICATION = re.compile(r"^backend (?!default_backend)", re.MULTILINE)
SAVED_STATE = "load-server-state-from-file global"
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Files:
    """What a supervisor has beside Serve's files: its child's configuration and admin socket. `public` is Serve's."""

    public: Path
    config: Path
    socket: Path

    @staticmethod
    def of(config: Path, text: str, pid: int) -> "Files":
        """Raises ValueError if Serve's configuration names no admin socket."""
        match = ADMIN_SOCKET.search(text)
        if match is None:
            raise ValueError(f"{config} has no stats socket; this version of Ray Serve is not supported")
        # A socket's path has at most 108 characters, of which HAProxy needs 12.
        return Files(Path(match[2]), config.with_name(f"{pid}.cfg"), Path(match[2]).with_name(f"{pid}.sock"))


class Supervisor:
    """Keeps a HAProxy running. `arguments` are Serve's; `text` is the content of the file that their `-f` names."""

    def __init__(self, binary: str, arguments: list[str], text: str) -> None:
        self._serves_config = Path(arguments[arguments.index("-f") + 1])
        self._files = Files.of(self._serves_config, text, os.getpid())
        end = arguments.index("-sf") if "-sf" in arguments else len(arguments)
        config = {str(self._serves_config): str(self._files.config)}
        self._command = [binary, *(config.get(argument, argument) for argument in arguments[:end])]
        self._old_pids = [argument for argument in arguments[end:] if argument.isdigit()]
        self._text = text
        self._child: asyncio.subprocess.Process | None = None
        self._is_ending = False

    async def run(self) -> int:
        """Return HAProxy's exit status, negative for a signal, when it was told to end or cannot start."""
        parent = os.getppid()
        node = _node() or _parent_of(parent)
        with suppress(PermissionError):  # a leader already
            os.setsid()  # Ray kills the process group of a dead manager
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDS, *PAUSES))
        for number in (*ENDS, *PAUSES):
            asyncio.get_running_loop().add_signal_handler(number, self._pass_on, number)
        _remove_files_of_dead(self._files)
        self._succeed_orphan()
        watch = asyncio.create_task(self._end_with_node(parent, node))
        try:
            return await self._supervise()
        finally:
            watch.cancel()
            self._files.config.unlink(missing_ok=True)
            self._files.socket.unlink(missing_ok=True)

    async def _supervise(self) -> int:
        server: asyncio.Server | None = None
        num_failed_starts = 0
        while True:
            child = self._child = await (self._restart() if server else self._start())
            if self._is_ending:  # told so while no child was there
                self._pass_on(signal.SIGTERM)
            is_up = await self._is_up(child)
            if is_up and server is None:
                server = await self._publish()
            status = await child.wait()
            num_failed_starts = 0 if is_up else num_failed_starts + 1
            if self._is_ending or num_failed_starts == MAX_FAILED_STARTS or (server is None and status > 0):
                return status
            sys.stderr.write(f"HAProxy {child.pid} ended with status {status}; starting another one\n")
            await asyncio.sleep(0 if is_up else PAUSE_S)

    async def _start(self) -> asyncio.subprocess.Process:
        """Start HAProxy in place of the old ones, with their listening sockets if the latest still has them."""
        takeover = ["-sf", *self._old_pids] if self._old_pids else []
        if self._old_pids:
            old_socket = self._files.socket.with_name(f"{self._old_pids[0]}.sock")
            takeover += ["-x", str(old_socket)] if await _answers_in_time(old_socket) else []
        return await self._spawn(self._text, takeover)

    async def _restart(self) -> asyncio.subprocess.Process:
        """Start HAProxy again. The saved state of the replicas is older than its death, so it finds out anew."""
        return await self._spawn(self._text.replace(SAVED_STATE, ""), [])

    async def _spawn(self, text: str, takeover: list[str]) -> asyncio.subprocess.Process:
        self._files.config.write_text(ADMIN_SOCKET.sub(rf"\1 {self._files.socket}", text))
        return await asyncio.create_subprocess_exec(*self._command, *takeover, preexec_fn=_die_with(os.getpid()))

    async def _is_up(self, child: asyncio.subprocess.Process) -> bool:
        """Wait until it answers, and say whether it did before it ended."""
        while child.returncode is None:
            if await self._answer_of_child(b"show info\n"):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _publish(self) -> asyncio.Server:
        """Listen where Serve looks for HAProxy, in place of a predecessor."""
        temporary = self._files.public.with_name(f"{os.getpid()}.tmp")
        server = await asyncio.start_unix_server(self._answer, temporary)
        temporary.chmod(0o600)
        temporary.rename(self._files.public)
        return server

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError):
            command = await asyncio.wait_for(_command(reader), ANSWER_S)
            answer = await self._answer_of_child(command)
            if command.startswith(b"show info"):
                answer = PID.sub(b"Pid: %d" % os.getpid(), answer)
            writer.write(answer)
            await writer.drain()
        writer.close()

    async def _answer_of_child(self, command: bytes) -> bytes:
        """Empty while it does not answer. HAProxy closes a connection after an answer."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._files.socket)
        except OSError:
            return b""
        try:
            writer.write(command)
            return await asyncio.wait_for(reader.read(), ANSWER_S)
        except (OSError, TimeoutError):
            return b""
        finally:
            writer.close()

    async def _end_with_node(self, parent: int, node: int) -> None:
        """Wait until Ray's process of the node is gone: no manager will follow. Outside Ray the parent must be, too."""
        while _is_alive(node) or (not _node() and os.getppid() == parent):  # noqa: ASYNC110 - no signal tells of it
            await asyncio.sleep(NODE_POLL_S)
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: signal.Signals) -> None:
        self._is_ending = self._is_ending or number in ENDS
        if self._child is not None and self._child.returncode is None:
            self._child.send_signal(number)

    def _succeed_orphan(self) -> None:
        """Take over from a HAProxy whose manager died: Serve names no old pid then, and has no routes yet."""
        if self._old_pids or not (pid := _owner_of(self._files.public)):
            return
        self._old_pids = [str(pid)]
        old_config = self._files.config.with_name(f"{pid}.cfg")
        if not APPLICATION.search(self._text) and old_config.exists():
            self._text = old_config.read_text()


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _node() -> int:
    """Ray's process of the node, as Ray names it to the processes of its workers; 0 outside Ray.

    The manager may be dead when this process starts, so that its parent is another one, which never ends.
    """
    return int(os.environ.get("RAY_RAYLET_PID", "0"))


def _parent_of(pid: int) -> int:
    """0 if it has just ended."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/stat").read_text()
        return int(status.rpartition(")")[2].split()[1])
    return 0


async def _command(reader: asyncio.StreamReader) -> bytes:
    """One line; if it ends with `<<`, such as that of a new certificate, also what follows up to an empty line."""
    lines = [await reader.readline()]
    while lines[0].rstrip().endswith(b"<<") and lines[-1].strip():
        lines.append(await reader.readline())
    return b"".join(lines)


def _die_with(parent: int) -> Callable[[], None]:
    """What a new child of `parent` calls, so that the kernel kills it when `parent` dies."""

    def call() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return call


async def _answers_in_time(path: Path) -> bool:
    """Whether a process listens on the socket, within ANSWER_S: a HAProxy that just died is about to be back."""
    for _ in range(int(ANSWER_S / POLL_S)):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return True
        await asyncio.sleep(POLL_S)
    return False


def _owner_of(public: Path) -> int:
    """The pid of the supervisor that answers on Serve's admin socket, or 0."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_S)
        client.connect(str(public))
        client.sendall(b"show info\n")
        with client.makefile("rb") as answer:
            match = PID.search(answer.read())
            return int(match[1]) if match else 0
    return 0


def _remove_files_of_dead(files: Files) -> None:
    """Those of supervisors that were killed."""
    for path in {*files.config.parent.glob("*.cfg"), *files.socket.parent.glob("*.sock")}:
        if path.stem.isdigit() and not _is_alive(int(path.stem)):
            path.unlink(missing_ok=True)
