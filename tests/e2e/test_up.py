"""`ragserve up` as a user runs it: it serves, stops, is killed, and restarts with all of its data."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from deployments.cluster.environment import OWN_PORTS, free_port
from serve.cli.remote import RemoteService
from serve.cli.up.stop_signals import INTERRUPTED
from tests.conftest import ROOT, START_TIMEOUT_S
from tests.patience import PATIENCE_S
from tests.processes import command_line

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

QUESTION = "Which key of serve_config.yaml restarts nothing?"
TAG = "RAGSERVE_TEST_UP"  # in the environment of each process of one `ragserve up`
ONE_ATTEMPT = {"RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1"}  # Serve tries three times to start a replica


class Up:
    """A `ragserve up` process over the data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (folder / f"up-{self.port}.log").open("a+")
        self.config = folder / "serve_config.yaml"
        self.config.write_text((ROOT / "serve_config.yaml").read_text())
        options = {"--port": str(self.port), "--data": str(folder / "data"), "--config": str(self.config)}
        command = ["-m", "serve.cli", "up", *chain.from_iterable(options.items())]
        # As from a user's shell: without the ports of the HAProxy of the test session.
        environment = {name: value for name, value in os.environ.items() if name not in OWN_PORTS}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment | {TAG: self.url},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,  # a group of its own, for signals
        )

    def wait_until_ready(self) -> None:
        self.wait_until_printed("serving on")
        with RemoteService(self.url) as remote:
            remote.wait_until_ready(START_TIMEOUT_S)

    def wait_until_printed(self, text: str) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while text not in self.output():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.2)

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def edit(self, old: str, new: str, expected: str) -> None:
        """Change the deployment file of the running service and wait for `expected` in its output."""
        self.config.write_text(self.config.read_text().replace(old, new))
        end = time.monotonic() + START_TIMEOUT_S
        while expected not in self.output():
            assert time.monotonic() < end, self.output()
            time.sleep(0.2)

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def left(self) -> list[str]:
        """The command lines of all processes that it has started and that still run, whoever their parent is."""
        return [line for process in psutil.process_iter() if self._is_of(process) and (line := command_line(process))]

    def _is_of(self, process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return process.environ().get(TAG) == self.url
        return False

    def answer(self, question: str) -> tuple[str, list[dict[str, object]]]:
        body = httpx.post(f"{self.url}/v1/query", json={"query": question}, timeout=PATIENCE_S, trust_env=False).json()
        return body["answer"], body["citations"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def started(folder: Path) -> Iterator[list[Up]]:
    """Stops the processes that a test adds to the list."""
    ups: list[Up] = []
    yield ups
    for up in ups:
        if up.process.poll() is None:
            up.process.send_signal(signal.SIGINT)
            up.process.wait(PATIENCE_S)
        up.log.close()


def addresses(processes: list[psutil.Process]) -> set[str]:
    """Where these processes listen."""
    listening: set[str] = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            connections = process.net_connections("tcp")
            listening |= {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    return {address.removeprefix("::ffff:") for address in listening}


def gone(processes: list[psutil.Process], limit_s: float = PATIENCE_S) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=limit_s)
    return not alive


def wait_until_empty(look: Callable[[], list[str]]) -> list[str]:
    end = time.monotonic() + PATIENCE_S
    while (items := look()) and time.monotonic() < end:
        time.sleep(0.2)
    return items


def test_a_killed_service_answers_the_same_again_and_applies_a_changed_file(folder: Path, started: list[Up]) -> None:
    first = Up(folder)
    started.append(first)
    first.wait_until_ready()
    ingested = subprocess.run(
        [sys.executable, "-m", "serve.cli", "ingest", "README.md", "--url", first.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "files are searchable" in ingested.stdout
    before = first.answer(QUESTION)
    assert before[1]
    assert re.search(r"^Reranker is ready \(\d+ s\)$", first.output(), re.MULTILINE)
    assert addresses(first.processes()) == {"127.0.0.1"}

    processes = first.processes()
    for process in processes:
        process.kill()
    assert gone(processes)

    second = Up(folder)
    started.append(second)
    second.wait_until_ready()
    assert second.answer(QUESTION) == before

    second.edit("num_threads: 1", "num_treads: 2", "was not applied")
    assert "did you mean 'num_threads'?" in second.output()
    second.edit("num_treads: 2", "num_threads: 2", "changed: applied")

    # The cluster ends with its parent.
    processes = second.processes()
    second.process.kill()
    assert gone(processes)


def test_a_signal_ends_a_start_at_any_moment_without_a_trace(folder: Path, started: list[Up]) -> None:
    for moment, number in (("starting Ray", signal.SIGINT), ("is ready (", signal.SIGTERM)):  # Ray's, and a stage's
        up = Up(folder)
        started.append(up)
        up.wait_until_printed(moment)
        assert up.left()

        os.killpg(up.process.pid, number)  # as a terminal's Ctrl-C, and as systemd
        with suppress(ProcessLookupError):  # it may have ended
            os.killpg(up.process.pid, number)

        status = up.process.wait(PATIENCE_S)
        is_interrupted = number == signal.SIGINT and "serving on" not in up.output()
        assert status == (INTERRUPTED if is_interrupted else 0), up.output()
        assert up.output().count("stopping\n") == 1
        assert "Traceback" not in up.output()
        assert wait_until_empty(up.left) == []


def test_a_data_folder_that_cannot_be_written_is_refused_before_anything_starts(folder: Path) -> None:
    file = folder / "file"
    file.write_text("not a folder")

    refused = subprocess.run(
        [sys.executable, "-m", "serve.cli", "up", "--port", str(free_port()), "--data", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 1
    assert f"{file} cannot be written" in refused.stderr
    assert "choose another folder with --data" in refused.stderr


def test_a_port_in_use_is_refused_before_anything_starts(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        refused = subprocess.run(
            [sys.executable, "-m", "serve.cli", "up", "--port", port, "--data", str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert refused.returncode == 1
    assert f"port {port} is already in use; choose another with --port" in refused.stderr


def test_an_invalid_config_is_refused_before_anything_starts(folder: Path) -> None:
    config = folder / "wrong.yaml"
    config.write_text((ROOT / "serve_config.yaml").read_text().replace("model: minilm", "modell: minilm"))

    refused = subprocess.run(
        [sys.executable, "-m", "serve.cli", "up", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 1
    assert "user_config.modell: unknown key; did you mean 'model'?" in refused.stderr


def test_a_stage_that_fails_is_named_with_the_folder_of_its_logs(folder: Path) -> None:
    catalog = folder / "catalog.yaml"
    (folder / "empty").mkdir()  # found, but nothing loads from it
    options = {"source": str(folder / "empty"), "max_tokens": 512}
    entry = {"kind": "cross_encoder", "licence": "none", "options": options}
    catalog.write_text(yaml.safe_dump({"reranking": {"broken": entry}}))
    raw = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    application = raw["applications"][0]
    application.setdefault("args", {})["catalog"] = str(catalog)
    reranker = next(deployment for deployment in application["deployments"] if deployment["name"] == "Reranker")
    reranker["user_config"]["model"] = "broken"
    config = folder / "broken.yaml"
    config.write_text(yaml.safe_dump(raw))
    arguments = ["--config", str(config), "--port", str(free_port()), "--data", str(folder / "data")]

    failed = subprocess.run(
        [sys.executable, "-m", "serve.cli", "up", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in OWN_PORTS} | ONE_ATTEMPT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert failed.returncode == 1
    assert "error: the service did not start: " in failed.stderr
    assert "Reranker: " in failed.stderr
    logs = Path(failed.stderr.split("logs: ")[1].strip())
    assert list(logs.glob("serve/replica_*Reranker*.log"))
