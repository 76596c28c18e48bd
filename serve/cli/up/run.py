"""`ragserve up`: a local cluster, the application on it, and the deployment file applied again whenever it changes."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from deployments.cluster.environment import is_free
from deployments.cluster.start import ClusterSize, deploy, local_cluster, wait_until_running
from models.errors import ConfigError
from serve.cli.remote import RemoteService
from serve.config_file import Machine, check, read, settings_of

START_TIMEOUT_S = 600.0  # a model may have to be downloaded
CONFIG_POLL_S = 1.0


def run_until_stopped(
    config: Path, port: int | None, data: Path | None, console: Console, when_ready: Callable[[str], None]
) -> None:
    """Serves until SIGINT or SIGTERM; then nothing that it started is left. Raises ConfigError."""
    stopped = threading.Event()
    size = ClusterSize.of_this_machine()
    changed = config.stat().st_mtime_ns if config.exists() else 0
    raw = _checked(config, port, data, size)
    _check_port(raw)
    with local_cluster(size):
        _stop_on_signals(stopped)
        with console.status("starting the stages"):
            deploy(raw)
            wait_until_running(raw["applications"][0]["name"], START_TIMEOUT_S)
            url = _url(raw)
            with RemoteService(url) as service:
                service.wait_until_ready(START_TIMEOUT_S)
        when_ready(url)
        _announce(console, url)
        while not stopped.wait(CONFIG_POLL_S):
            now = config.stat().st_mtime_ns if config.exists() else changed
            if now != changed:
                changed = now
                _apply(config, port, data, size, console)
        console.print("stopping")


def _apply(config: Path, port: int | None, data: Path | None, size: ClusterSize, console: Console) -> None:
    """Deploys the file as it stands now; a file that is wrong changes nothing."""
    try:
        deploy(_checked(config, port, data, size))
        console.print(f"{config} changed: applied; `ragserve status` shows each stage's model")
    except ConfigError as error:
        console.print(f"{config} changed, but was not applied: {error}", markup=False, style="red")


def _checked(config: Path, port: int | None, data: Path | None, size: ClusterSize) -> dict[str, Any]:
    """The file with the command line's own port and folder in it. Raises ConfigError with every problem."""
    raw = read(config)
    problems = check(raw, Machine(size.num_cpus, size.num_gpus))
    if problems:
        raise ConfigError(str(config), "\n  ".join(["is refused", *map(str, problems)]))
    if port is not None:
        raw.setdefault("http_options", {})["port"] = port
    settings, arguments = settings_of(raw), raw["applications"][0].setdefault("args", {})
    # Absolute: the replicas' working directory is not ours.
    storage = arguments.setdefault("storage", {})
    storage["data_dir"] = str((data or settings.storage.data_dir).resolve())
    if settings.catalog is not None:
        arguments["catalog"] = str(settings.catalog.resolve())
    return raw


def _check_port(raw: dict[str, Any]) -> None:
    options = raw.get("http_options") or {}
    host, port = options.get("host", "127.0.0.1"), options.get("port", 8000)
    if not is_free(host, port):
        raise ConfigError("http_options.port", f"somebody already listens on {host}:{port}; give another with --port")


def _url(raw: dict[str, Any]) -> str:
    options = raw.get("http_options") or {}
    host = options.get("host", "127.0.0.1")
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{options.get('port', 8000)}"


def _stop_on_signals(stopped: threading.Event) -> None:
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())


def _announce(console: Console, url: str) -> None:
    console.print(f"\nserving on [bold]{url}[/bold]  (Ctrl-C stops)\n")
    console.print(f"""  curl -s {url}/v1/query -d '{{"query": "How do I swap the reranker?"}}'\n""", markup=False)
