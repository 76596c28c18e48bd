"""What the pages' own commands are run with."""

import os
import subprocess
import sys

from tests.conftest import ROOT, Service

LOCAL_URL = "http://localhost:8000"


def run_bash(service: Service, code: str) -> str:
    code = code.replace(LOCAL_URL, service.url).replace(".venv/bin/ragserve", "ragserve")
    here = f'ragserve() {{ {sys.executable} -m serve.cli "$@"; }}\n'
    environment = os.environ | {"RAGSERVE_URL": service.url}
    done = subprocess.run(
        ["bash", "-euc", here + code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
