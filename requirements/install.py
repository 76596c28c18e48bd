"""Install the locked packages: into a virtual environment for `make`, under a prefix for the image.

    python3.11 requirements/install.py
        {cpu,cuda,dev,smollm2-135m,multilingual-e5-small-q4,s3,kafka,moto,agents,frameworks}
        (--venv DIR | --prefix DIR) [--torch-index URL] [--dry-run]

This program runs before any package is installed, so it uses the standard library alone. uv does the work, because it
is several times faster than pip. uv does not read pip's settings; `uv_environment` passes them on.

The CPU build of PyTorch is not in the public package index. `torch_step` chooses the first source that has it.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
SUPPORTED_PYTHON = (3, 11)
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 15  # of the attempt to reach PyTorch's own index
# Measured on 2 busy cores, at 20 to 60 MB a second.
DURATIONS = {
    "cpu": "about 4 minutes, or 9 if only PyTorch's CUDA build can be reached",
    "cuda": "about 10 minutes",
    "dev": "less than a minute",
    "smollm2-135m": "less than a minute",
    "s3": "less than a minute",
    "kafka": "less than a minute",
    "moto": "less than a minute",
    "agents": "less than a minute",
    "multilingual-e5-small-q4": "less than a minute",
    "frameworks": "less than a minute",
}
SERVICE_LOCKS = ("cpu", "cuda")  # the others add to them
TERMINAL_INTERVAL_S, LOG_INTERVAL_S = 1, 15  # between two reports of progress
PIP_LEVELS = ("global", "install", ":env:")  # the last one that has a setting wins
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}


class InstallError(Exception):
    """A command failed. The message is its output, without the command line: an index's URL can hold a password."""


@dataclass(frozen=True)
class Step:
    """One call of `uv pip install`: what the user reads, and the arguments."""

    title: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Output:
    """Lines of progress on standard error, each with the time since the start."""

    started_s: float = field(default_factory=time.monotonic)
    is_terminal: bool = field(default_factory=sys.stderr.isatty)

    def line(self, text: str) -> None:
        sys.stderr.write(f"{self._clear()}[{self._elapsed()}] {text}\n")
        sys.stderr.flush()

    def progress(self, text: str) -> None:
        """Show a state that the next call replaces; a log gets a line of its own."""
        if self.is_terminal:
            sys.stderr.write(f"{self._clear()}[{self._elapsed()}]   {text[:90]}")
            sys.stderr.flush()
        else:
            self.line(f"  {text}")

    def _clear(self) -> str:
        return "\r\033[K" if self.is_terminal else ""

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self.started_s)
        return f"{seconds // 60}:{seconds % 60:02}"


def summarize(lines: list[str]) -> str:
    """The state of an installation, read from uv's output so far."""
    text = "\n".join(lines)
    megabytes = {
        name: float(size) * {"K": 1 / 1024, "M": 1, "G": 1024}[unit]
        for name, size, unit in re.findall(r"^Downloading (\S+) \(([\d.]+)([KMG])iB\)", text, re.MULTILINE)
    }
    complete = set(re.findall(r"^ *Downloaded (\S+)", text, re.MULTILINE))
    if pending := [name for name in megabytes if name not in complete]:
        size = sum(megabytes[name] for name in complete if name in megabytes)
        more = f" and {len(pending) - 3} more" if len(pending) > 3 else ""
        return f"{size:,.0f} of {sum(megabytes.values()):,.0f} MB; downloading {', '.join(pending[:3])}{more}"
    if re.search(r"^Installed ", text, re.MULTILINE):
        return "compiling to bytecode"
    return "unpacking" if complete else "working"


def run(command: list[str], environment: Mapping[str, str], output: Output) -> None:
    """Run a command and report its progress. Raises InstallError with the command's output if it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        reader = Thread(target=lines.extend, args=(process.stdout,), daemon=True)
        reader.start()
        while True:
            try:
                status = process.wait(TERMINAL_INTERVAL_S if output.is_terminal else LOG_INTERVAL_S)
                break
            except subprocess.TimeoutExpired:
                output.progress(summarize(lines))
        reader.join()
    if status != 0:
        raise InstallError("".join(lines))


def pip_settings(python: Path) -> dict[str, str]:
    """pip's settings from its files and the environment; of two sources pip's stronger one."""
    listing = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "config", "list"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    settings = re.findall(r"^(global|install|:env:)\.([\w-]+)=(.*)$", listing, re.MULTILINE)
    settings.sort(key=lambda setting: PIP_LEVELS.index(setting[0]))
    return {name: " ".join(str(ast.literal_eval(value)).split()) for _, name, value in settings}


def uv_environment(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Translate pip's settings to uv's variables. Variables that the user set for uv are left alone."""
    variables = {UV_VARIABLES[name]: value for name, value in settings.items() if name in UV_VARIABLES}
    if "UV_FIND_LINKS" in variables:
        variables["UV_FIND_LINKS"] = variables["UV_FIND_LINKS"].replace(" ", ",")
    if "UV_INDEX" in variables:
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # the same version from whichever index has it, like pip
    if "UV_HTTP_TIMEOUT" in variables:
        variables["UV_HTTP_TIMEOUT"] = variables["UV_HTTP_TIMEOUT"].partition(".")[0]
    return variables | dict(environment)


def pins(lock: str) -> dict[str, str]:
    """The lines of a lock by package name."""
    lines = (FOLDER / f"{lock}.txt").read_text().split()
    return {line.partition("==")[0]: line for line in lines}


@dataclass(frozen=True)
class Uv:
    """uv: the Python that runs it, and the options of every call."""

    python: Path
    options: tuple[str, ...]
    environment: Mapping[str, str]
    output: Output

    def install(self, *arguments: str) -> None:
        run([*self._command(), *arguments], self.environment, self.output)

    def can_install(self, *arguments: str) -> bool:
        """Resolve, and install nothing."""
        command = [*self._command(), "--dry-run", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode == 0

    def within(self, connect_timeout_s: int, read_timeout_s: int) -> "Uv":
        """The same with one attempt and these limits, for an index that may be out of reach."""
        limits = {
            "UV_HTTP_CONNECT_TIMEOUT": str(connect_timeout_s),
            "UV_HTTP_TIMEOUT": str(read_timeout_s),
            "UV_HTTP_RETRIES": "0",
        }
        return replace(self, environment={**self.environment, **limits})

    def _command(self) -> list[str]:
        return [str(self.python), "-m", "uv", "pip", "install", "--python", str(self.python), *self.options]


def torch_step(uv: Uv, lock: str, torch_index: str, constraints: Path) -> Step:
    """Choose the source of PyTorch. The CPU lock prefers the CPU build.

    The order: the index that the user names, pip's own indexes, PyTorch's CPU index, then the public index's default
    build. The default build needs CUDA's libraries even where there is no GPU.
    """
    pin = pins(lock)["torch"]
    named = ("--index", torch_index) if torch_index else ()
    if lock == "cuda":  # a CPU build must not win where pip knows one
        return Step(f"{pin}, CUDA build", ("--no-deps", *named, f"{pin},!={pin.partition('==')[2]}+cpu"))
    cpu_build = ("--no-deps", f"{pin}+cpu")
    if named:
        return Step(f"{pin}, CPU build from TORCH_INDEX", (*named, *cpu_build))
    if uv.can_install(*cpu_build):
        return Step(f"{pin}, CPU build from pip's own indexes", cpu_build)
    if uv.within(CONNECT_TIMEOUT_S, READ_TIMEOUT_S).can_install("--torch-backend", "cpu", *cpu_build):
        return Step(f"{pin}, CPU build from PyTorch's index", ("--torch-backend", "cpu", *cpu_build))
    return Step(
        f"{pin}, the default build with CUDA (2.7 GB instead of 0.2 GB): PyTorch's CPU index gave no CPU build; "
        "TORCH_INDEX=<url> names another index",
        (pin, "--overrides", str(FOLDER / "cpu.txt"), "--constraints", str(constraints)),
    )


def write_constraints(path: Path) -> Path:
    """Write the versions of CUDA's libraries: what the CUDA lock has and the CPU lock does not."""
    cpu = pins("cpu")
    path.write_text("\n".join(line for name, line in pins("cuda").items() if name not in cpu))
    return path


def steps(uv: Uv, lock: str, arguments: argparse.Namespace, folder: Path) -> Iterator[Step]:
    """The calls of uv, in order. PyTorch comes first: the lock that follows accepts whichever build is there."""
    if lock in SERVICE_LOCKS:
        yield torch_step(uv, lock, arguments.torch_index, write_constraints(folder / "constraints.txt"))
    path = FOLDER / f"{lock}.txt"
    # --no-deps: the lock is complete, and docs/dependencies.md names the packages that it leaves out on purpose.
    # --compile-bytecode: compiles everything that is installed, PyTorch too. The image's file system is read-only.
    yield Step(
        f"{len(pins(lock))} packages of requirements/{path.name}",
        ("--no-deps", "--compile-bytecode", "--requirement", str(path)),
    )
    if lock in SERVICE_LOCKS and arguments.venv:
        yield Step("ragserve", ("--no-deps", "--no-build-isolation", "--editable", str(ROOT)))


def environment_python(arguments: argparse.Namespace, output: Output) -> Path:
    """The Python to install for. An image has its own; a virtual environment is created if it is missing."""
    if not arguments.venv:
        return Path(sys.executable)
    python: Path = arguments.venv.absolute() / "bin" / "python"
    if not python.exists():
        output.line(f"creating {arguments.venv}")
        run([sys.executable, "-m", "venv", str(arguments.venv)], os.environ, output)
    return python


def install_uv(arguments: argparse.Namespace, output: Output) -> Uv:
    """Install uv by pip, into the environment. For an image it stays outside the prefix."""
    python = environment_python(arguments, output)
    output.line("uv, the installer")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--requirement", str(FOLDER / "uv.txt")], os.environ, output)
    settings = pip_settings(python)
    prefix = ("--prefix", str(arguments.prefix)) if arguments.prefix else ()
    no_index = ("--no-index",) if settings.get("no-index", "0").lower() in ("1", "true", "yes", "on") else ()
    return Uv(python, (*prefix, *no_index), uv_environment(settings, os.environ), output)


def install(arguments: argparse.Namespace, output: Output) -> None:
    output.line(f"installing requirements/{arguments.lock}.txt; {DURATIONS[arguments.lock]}")
    uv = install_uv(arguments, output)
    with tempfile.TemporaryDirectory() as folder:
        for step in steps(uv, arguments.lock, arguments, Path(folder)):
            output.line(step.title)
            if not arguments.dry_run:
                uv.install(*step.arguments)
    output.line("would install this" if arguments.dry_run else "installed")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Install ragserve's locked packages.")
    parser.add_argument("lock", choices=list(DURATIONS), help="file of requirements/ to install")
    destination = parser.add_mutually_exclusive_group(required=True)
    destination.add_argument("--venv", type=Path, help="virtual environment; created if missing")
    destination.add_argument("--prefix", type=Path, help="folder that gets bin/ and lib/, for an image")
    parser.add_argument("--torch-index", default="", help="package index that has the build of PyTorch")
    parser.add_argument("--dry-run", action="store_true", help="show the steps and stop")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    arguments, output = parse(argv), Output()
    if sys.version_info[:2] != SUPPORTED_PYTHON:
        output.line(f"ragserve needs Python 3.11, this is {sys.version.split()[0]}; choose one with PYTHON=<path>")
        return 1
    try:
        install(arguments, output)
    except InstallError as error:
        output.line(f"installation failed:\n{error}")
        return 1
    except KeyboardInterrupt:
        output.line("interrupted; the next run goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
