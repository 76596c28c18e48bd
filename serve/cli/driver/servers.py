"""The servers that `ragserve bench models` compares: each a process of its own on a free port of the loopback address.

All get the same number of threads, by OMP_NUM_THREADS, and none reaches out to a model hub.
"""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import yaml

from deployments.cluster.environment import OWN_PORTS, free_port
from serve.cli.bench.models.rows import OURS, Plan
from serve.cli.driver.peers.environments import PeerError, environment_of
from serve.config_file import read

HOST = "127.0.0.1"
START_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.25
GPU_SHARES = {"Embedder": 0.2, "Reranker": 0.2, "Generator": 0.5}  # of one GPU
LOG_TAIL = 600
PLAIN_SERVER = Path(__file__).parent / "peers" / "plain_server.py"
RAGSERVE = [sys.executable, "-m", "serve.cli"]


@dataclass(frozen=True)
class Server:
    """A server that answers; `pid` is the process that was started, the parent of all of its others."""

    name: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@dataclass(frozen=True)
class Launch:
    """How a server starts, with `{port}` in its command; it is ready once `ready` answers with 200."""

    name: str
    command: Sequence[str]
    ready: str
    environment: Mapping[str, str]


@contextmanager
def running(launch: Launch, folder: Path, threads: int) -> Iterator[Server]:
    """The server, ready; all of its processes are gone afterwards. Raises PeerError with the end of its log."""
    port, log = free_port(), folder / f"{launch.name}.log"
    command = [part.replace("{port}", str(port)) for part in launch.command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(threads) | dict(launch.environment),
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    try:
        _wait_until_ready(launch, process, f"http://{HOST}:{port}{launch.ready}", log)
        yield Server(launch.name, port, process.pid)
    finally:
        _stop(process)


def _environment(threads: int) -> dict[str, str]:
    # Each service has ports of its own.
    own = {name: value for name, value in os.environ.items() if name not in OWN_PORTS}
    return own | {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "INFINITY_ANONYMOUS_USAGE_STATS": "0",
        "VLLM_NO_USAGE_STATS": "1",
        # A replica of no client drains for half a minute otherwise.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    }


def _wait_until_ready(launch: Launch, process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=5.0, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass  # it does not listen yet
        time.sleep(POLL_S)
    why = "it ended" if process.poll() is not None else f"it is not ready after {START_TIMEOUT_S:g} s"
    raise PeerError(launch.name, f"{why}: …{log.read_text(errors='replace')[-LOG_TAIL:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Asks the parent to end, and ends what is left of its tree."""
    try:
        tree = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        tree = []
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(tree, timeout=POLL_S)
    for left in alive:
        left.kill()


def ragserve(plan: Plan, folder: Path, models: Mapping[str, str], catalog: Path | None = None) -> Launch:
    """The deployment file as it is, with these `models` (a stage's name to an alias) and a state folder of its own."""
    raw = copy.deepcopy(read(plan.config))
    application = raw["applications"][0]
    if catalog is not None:
        application.setdefault("args", {})["catalog"] = str(catalog)
    for deployment in application["deployments"]:
        if deployment["name"] in models:
            deployment["user_config"] = (deployment.get("user_config") or {}) | {"model": models[deployment["name"]]}
        if plan.device == "cuda" and deployment["name"] in GPU_SHARES:
            deployment.setdefault("ray_actor_options", {})["num_gpus"] = GPU_SHARES[deployment["name"]]
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(raw))
    command = [*RAGSERVE, "up", "--config", str(path), "--data", str(folder / "state"), "--port", "{port}"]
    return Launch(OURS, command, "/readyz", {})


def infinity(plan: Plan, model: Path) -> Launch:
    """infinity-emb, as `infinity_emb v2` starts it; it embeds or reranks, by the model's own architecture."""
    program = str(environment_of("infinity", plan.peers) / "infinity_emb")
    command = [program, "v2", "--model-id", str(model), "--served-model-name", "model", "--device", plan.device]
    command += ["--engine", "torch", "--no-model-warmup", "--host", HOST, "--port", "{port}", "--log-level", "warning"]
    return Launch("infinity-emb", command, "/health", {})


def plain(plan: Plan, model: Path) -> Launch:
    """FastAPI with sentence-transformers in one file."""
    program = str(environment_of("plain", plan.peers) / "python")
    return Launch("FastAPI + sentence-transformers", [program, str(PLAIN_SERVER), str(model), "{port}"], "/health", {})


def vllm_serve(model: Path, flags: Sequence[str], environment: Mapping[str, str]) -> Launch:
    """vLLM's own OpenAI server, of the vllm that is installed beside ragserve.

    By its module: the program `vllm` asks for a package of that name, which the builds for CPUs do not have.
    """
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "model", "--host", HOST, "--port", "{port}", *flags]
    return Launch("vllm serve", command, "/health", environment)
