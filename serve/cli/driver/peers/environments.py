"""A virtual environment for each peer, with pinned versions, built once in a cache folder.

Peers are never installed beside ragserve. Packages come from the index that pip is configured for.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from models.errors.base import RagError

REQUIREMENTS = Path(__file__).parent
INSTALL_TIMEOUT_S = 1800.0
READY = "installed"


class ServerStartError(RagError):
    """A server cannot be started; the reason becomes its row."""

    code = "peer_not_run"

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(server, reason)

    def __str__(self) -> str:
        return f"{self.args[0]} cannot be started: {self.args[1]}"


def default_folder() -> Path:
    """The user's cache folder, by the XDG rules."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragserve" / "peers"


def environment_of(peer: str, folder: Path, may_install: bool = True) -> Path:
    """The folder of the peer's programs (`python`, …), installed first if it is absent or its versions have changed.

    Raises ServerStartError with pip's last line, or if it is not installed and may not be.
    """
    requirements = REQUIREMENTS / f"{peer}.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    home = folder / f"{peer}-{digest}"
    programs = home / "bin"
    if not (home / READY).exists():
        if not may_install:
            raise ServerStartError(peer, "it is not installed; a run without --quick installs it")
        _run(peer, [sys.executable, "-m", "venv", "--clear", str(home)])
        _run(peer, [str(programs / "python"), "-m", "pip", "install", "--quiet", "-r", str(requirements)])
        (home / READY).touch()
    return programs


def _run(peer: str, command: list[str]) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if ran.returncode != 0:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        raise ServerStartError(peer, lines[-1] if lines else f"{command[0]} ended with {ran.returncode}")
