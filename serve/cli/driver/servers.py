"""The servers that benchmarks measure: each a process of its own on a free port of the loopback address.

All get the same number of threads, by OMP_NUM_THREADS, and none contacts a model hub.
"""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import yaml

from deployments.cluster.environment import OWN_PORTS, free_port
from deployments.cluster.haproxy import TLS_CERTIFICATE
from serve.cli.driver.peers.environments import ServerStartError
from serve.cli.options import DATA_VARIABLE
from serve.config_file import read

HOST = "127.0.0.1"
OURS = "ragserve"
START_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.25
READY_REQUEST_TIMEOUT_S = 5.0
GPU_SHARES = {"Embedder": 0.2, "Reranker": 0.2, "Generator": 0.5}  # of one GPU
# A server has ports of its own, and a folder. It is asked over plain HTTP.
NOT_INHERITED = (*OWN_PORTS, TLS_CERTIFICATE, DATA_VARIABLE)
LOG_TAIL = 600  # characters of a log, in a message
PLAIN_SERVER = Path(__file__).parent / "peers" / "plain_server.py"


@dataclass(frozen=True)
class Server:
    """A server that is ready; `pid` is the process that was started, the parent of all its other processes."""

    name: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@dataclass(frozen=True)
class Launch:
    """How a server starts. `{port}` in its command is replaced; it is ready once GET `ready` answers with 200."""

    name: str
    command: Sequence[str]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running(launch: Launch, folder: Path, threads: int) -> Iterator[Server]:
    """The server, ready; all its processes have ended afterwards. Raises ServerStartError with the end of its log."""
    port, log = free_port(), folder / f"{launch.name}.log"
    command = [argument.replace("{port}", str(port)) for argument in launch.command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(threads) | dict(launch.environment),
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the server
        )
    try:
        _wait_until_ready(launch, process, f"http://{HOST}:{port}{launch.ready}", log)
        yield Server(launch.name, port, process.pid)
    finally:
        _stop(process)


def _environment(threads: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return inherited | {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "INFINITY_ANONYMOUS_USAGE_STATS": "0",
        "VLLM_NO_USAGE_STATS": "1",
        # Otherwise a replica without clients drains for half a minute.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    }


def _wait_until_ready(launch: Launch, process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=READY_REQUEST_TIMEOUT_S, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass  # it does not listen yet
        time.sleep(POLL_S)
    reason = "it ended" if process.poll() is not None else f"it is not ready after {START_TIMEOUT_S:g} s"
    raise ServerStartError(launch.name, f"{reason}: …{log.read_text(errors='replace')[-LOG_TAIL:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Asks the parent to end, then kills its remaining children."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=POLL_S)
    for child in alive:
        child.kill()


def ragserve_up(config: Path, data: Path | None = None, placement: str = "auto") -> Launch:
    """`ragserve up` with this deployment file; `data` is the folder of its state, None is the file's own."""
    command = [sys.executable, "-m", "serve.cli", "up", "--config", str(config), "--port", "{port}"]
    command += ["--placement", placement]
    return Launch(OURS, [*command, *(["--data", str(data)] if data else [])], "/readyz")


def ragserve_with(
    config: Path, folder: Path, models: Mapping[str, str], catalog: Path | None = None, has_gpu: bool = False
) -> Launch:
    """`ragserve up` with a copy of the deployment file and a state in `folder`.

    The copy has these `models` (a deployment's name to an alias of `catalog`), on one GPU with `has_gpu`.
    """
    raw = copy.deepcopy(read(config))
    application = raw["applications"][0]
    if catalog is not None:
        application.setdefault("args", {})["catalog"] = str(catalog)
    for deployment in application["deployments"]:
        name = deployment["name"]
        if name in models:
            deployment["user_config"] = (deployment.get("user_config") or {}) | {"model": models[name]}
        if name == "Parser" and "Embedder" in models:
            deployment["user_config"] = (deployment.get("user_config") or {}) | {"tokenizer": models["Embedder"]}
        if has_gpu and name in GPU_SHARES:
            deployment.setdefault("ray_actor_options", {})["num_gpus"] = GPU_SHARES[name]
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return ragserve_up(path, folder / "state")


def infinity(programs: Path, model: Path, device: str) -> Launch:
    """infinity-emb, as `infinity_emb v2` starts it; it embeds or reranks, by the model's own architecture."""
    command = [str(programs / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "model"]
    command += ["--device", device, "--engine", "torch", "--no-model-warmup", "--host", HOST, "--port", "{port}"]
    return Launch("infinity-emb", [*command, "--log-level", "warning"], "/health")


def plain(programs: Path, model: Path) -> Launch:
    """FastAPI with sentence-transformers in one file."""
    command = [str(programs / "python"), str(PLAIN_SERVER), str(model), "{port}"]
    return Launch("FastAPI + sentence-transformers", command, "/health")


def vllm_serve(model: Path, flags: Sequence[str], environment: Mapping[str, str]) -> Launch:
    """vLLM's own OpenAI server, from the vllm that is installed beside ragserve.

    Started by its module: the program `vllm` requires a package of that name, which the builds for CPUs lack.
    """
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "model", "--host", HOST, "--port", "{port}", *flags]
    return Launch("vllm serve", command, "/health", environment)


def constant_answers(num_bytes: int) -> Launch:
    """A server with a constant answer: its throughput is the upper limit of the load driver."""
    command = [sys.executable, "-m", "serve.cli.driver.constant_server", "{port}", str(num_bytes)]
    return Launch("constant answers", command, "/")
