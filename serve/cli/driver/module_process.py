"""A Python module as a process: JSON on its standard input, JSON on the last line of its standard output."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ERROR_CHARS = 2000  # of standard error, in a message


class ModuleProcess:
    """A running `python -m MODULE`. Its output goes to files: a full pipe would block the process."""

    def __init__(self, module: str, argument: Any, folder: Path, environment: Mapping[str, str]) -> None:
        self._module, self._output, self._errors = module, folder / "stdout", folder / "stderr"
        stdin = folder / "stdin"
        stdin.write_text(json.dumps(argument))
        with stdin.open("rb") as source, self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=source,
                stdout=output,
                stderr=errors,
                env=os.environ | environment,
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def result(self, timeout_s: float) -> Any:
        """Waits for the end. Raises RuntimeError if the module failed, subprocess.TimeoutExpired at the timeout."""
        if self._process.wait(timeout_s) != 0:
            raise RuntimeError(f"{self._module} failed: {self._errors.read_text(errors='replace')[-ERROR_CHARS:]}")
        return json.loads(self._output.read_text().splitlines()[-1])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def module_process(module: str, argument: Any, environment: Mapping[str, str] | None = None) -> Iterator[ModuleProcess]:
    """The process, with this environment on top of ours; it is killed when the block ends."""
    with TemporaryDirectory() as folder:
        process = ModuleProcess(module, argument, Path(folder), environment or {})
        try:
            yield process
        finally:
            process.kill()


def run_module(module: str, argument: Any, timeout_s: float, environment: Mapping[str, str] | None = None) -> Any:
    """Runs the module and returns its result. Raises RuntimeError if it failed."""
    with module_process(module, argument, environment) as process:
        return process.result(timeout_s)
