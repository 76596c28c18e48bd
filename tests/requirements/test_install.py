"""requirements/install.py: real uv and pip, over wheels of a few bytes."""

import sys
import zipfile
from pathlib import Path

import pytest

from requirements.install import (
    InstallError,
    Output,
    Uv,
    pins,
    pip_settings,
    run,
    summarize,
    torch_step,
    uv_environment,
    write_constraints,
)

NO_NETWORK = {"ALL_PROXY": "http://127.0.0.1:9", "UV_HTTP_RETRIES": "0"}  # nothing listens on the discard port
TORCH = pins("cpu")["torch"].partition("==")[2]


def write_wheel(folder: Path, version: str) -> None:
    """Write a wheel of torch with metadata and no code."""
    folder.mkdir(exist_ok=True)
    metadata = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        wheel.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{metadata}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with the CPU build of torch and its default build."""
    write_wheel(tmp_path / "wheels", TORCH)
    write_wheel(tmp_path / "wheels", f"{TORCH}+cpu")
    return tmp_path / "wheels"


def uv_into(folder: Path, **variables: str) -> Uv:
    """uv that installs into a folder of its own and reaches no network."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **NO_NETWORK, **variables}
    return Uv(Path(sys.executable), ("--target", str(folder / "site")), environment, Output())


def installed(folder: Path) -> list[str]:
    return [path.name.removesuffix(".dist-info") for path in (folder / "site").glob("*.dist-info")]


def test_cpu_lock_takes_the_cpu_build_that_pips_indexes_have(tmp_path: Path, wheels: Path) -> None:
    uv = uv_into(tmp_path, UV_FIND_LINKS=str(wheels), UV_OFFLINE="1")

    step = torch_step(uv, "cpu", "", tmp_path / "constraints.txt")
    uv.install(*step.arguments)

    assert "CPU build from pip's own indexes" in step.title
    assert installed(tmp_path) == [f"torch-{TORCH}+cpu"]


def test_cuda_lock_never_takes_a_cpu_build(tmp_path: Path, wheels: Path) -> None:
    uv = uv_into(tmp_path, UV_FIND_LINKS=str(wheels), UV_OFFLINE="1")

    uv.install(*torch_step(uv, "cuda", "", tmp_path / "constraints.txt").arguments)

    assert installed(tmp_path) == [f"torch-{TORCH}"]


def test_default_build_is_chosen_if_no_index_gives_a_cpu_build(tmp_path: Path) -> None:
    step = torch_step(uv_into(tmp_path), "cpu", "", tmp_path / "constraints.txt")

    assert "with CUDA" in step.title
    assert "TORCH_INDEX=<url>" in step.title
    assert step.arguments[0] == f"torch=={TORCH}"
    assert "--no-deps" not in step.arguments


def test_an_index_that_the_user_names_is_used_without_a_probe(tmp_path: Path) -> None:
    step = torch_step(uv_into(tmp_path), "cpu", "https://wheels.example/cpu", tmp_path / "constraints.txt")

    assert step.arguments == ("--index", "https://wheels.example/cpu", "--no-deps", f"torch=={TORCH}+cpu")


def test_cpu_lock_accepts_every_build_of_torch() -> None:
    assert pins("cpu")["torch"] == pins("cuda")["torch"] == f"torch=={TORCH}"
    assert "+" not in TORCH


def test_constraints_of_the_default_build_leave_the_cpu_locks_versions_alone(tmp_path: Path) -> None:
    constraints = write_constraints(tmp_path / "constraints.txt").read_text().split()

    names = {line.partition("==")[0] for line in constraints}
    assert "nvidia-cublas" in names
    assert not names & pins("cpu").keys()


def test_pips_settings_reach_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a.example/simple\ntimeout = 15.5\nfind-links =\n    /wheels\n    /more\n"
        "[install]\nextra-index-url = https://b.example/simple https://c.example/simple\n"
    )
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")

    environment = uv_environment(pip_settings(Path(sys.executable)), {})

    assert environment["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"  # the variable wins over the file
    assert environment["UV_INDEX"] == "https://b.example/simple https://c.example/simple"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert environment["UV_FIND_LINKS"] == "/wheels,/more"
    assert environment["UV_HTTP_TIMEOUT"] == "15"


def test_uvs_own_variables_win_over_pips_settings() -> None:
    environment = uv_environment({"index-url": "https://pip.example"}, {"UV_DEFAULT_INDEX": "https://uv.example"})

    assert environment["UV_DEFAULT_INDEX"] == "https://uv.example"


def test_progress_counts_complete_downloads_and_names_the_pending_ones() -> None:
    lines = ["Downloading torch (1.5GiB)\n", "Downloading numpy (16.0MiB)\n", "Downloading six (512.0KiB)\n"]

    assert summarize([]) == "working"
    assert summarize([*lines, " Downloaded numpy\n"]) == "16 of 1,552 MB; downloading torch, six"
    assert summarize(["Downloading numpy (16.0MiB)\n", " Downloaded numpy\n"]) == "unpacking"
    assert summarize(["Installed 3 packages in 37ms\n"]) == "compiling to bytecode"


def test_a_failed_command_raises_its_output() -> None:
    program = "import sys; print('no such package'); sys.exit(3)"

    with pytest.raises(InstallError, match=r"^no such package\n$"):
        run([sys.executable, "-c", program], {}, Output())
