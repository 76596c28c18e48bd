"""kuberay/Dockerfile, checked without building it."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.kuberay.conftest import KUBERAY, ROOT, deployments_of, groups_of, service_of

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", (KUBERAY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    pairs = (line.strip().partition(" ") for line in lines)
    return [(keyword.upper(), arguments.strip()) for keyword, _, arguments in pairs if keyword]


def stages() -> dict[str, list[Instruction]]:
    """The instructions of each stage, after those of its base stage."""
    by_name: dict[str, list[Instruction]] = {}
    name = ""
    for keyword, arguments in instructions():
        if keyword == "FROM":
            source, _, name = arguments.partition(" AS ")
            by_name[name] = list(by_name.get(source, []))
        if name:
            by_name[name].append((keyword, arguments))
    return by_name


def of(stage: str, keyword: str) -> list[str]:
    return [arguments for each, arguments in stages()[stage] if each == keyword]


def copied_paths() -> set[str]:
    """Paths of the repository that the image contains."""
    sources = [copy.split()[:-1] for keyword, copy in instructions() if keyword == "COPY" and "--from" not in copy]
    return {path for paths in sources for path in paths}


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_image_and_pods_use_the_same_user(target: str) -> None:
    user = of(target, "USER")[-1]

    pod = groups_of(service_of((KUBERAY / "overlays/gpu/generated.yaml").read_text()))["cpu"]["template"]["spec"]
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert any(f"--uid {user.split(':')[0]}" in run for run in of(target, "RUN"))


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_has_the_programs_of_the_operators_probes(target: str) -> None:
    installs = " ".join(run for run in of(target, "RUN") if "apt-get install" in run).split()

    assert {"bash", "wget", "grep"} <= set(installs)
    assert all("rm -rf /var/lib/apt/lists" in run for run in of(target, "RUN") if "apt-get update" in run)


def test_every_base_image_is_pinned() -> None:
    (default,) = [
        arguments for keyword, arguments in instructions() if keyword == "ARG" and arguments.startswith("PYTHON_IMAGE=")
    ]
    sources = {arguments.split(" AS ")[0] for keyword, arguments in instructions() if keyword == "FROM"}

    assert sources == {"${PYTHON_IMAGE}", "system"}
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+", default)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_code_is_copied_after_the_packages(target: str) -> None:
    copies = of(target, "COPY")

    assert [copy.split()[0] for copy in copies] == [f"--from=packages-{target}", "--from=code", "--from=code"]


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_every_command_in_a_container_works_on_its_volume(target: str) -> None:
    (volume,) = of(target, "VOLUME")
    variables = dict(pair.split("=", 1) for arguments in of(target, "ENV") for pair in arguments.split())

    assert variables["RAGSERVE_DATA"] == volume
    assert "--data" not in of(target, "CMD")[-1]


def test_no_build_argument_is_a_secret() -> None:
    names = {arguments.split("=")[0] for keyword, arguments in instructions() if keyword in ("ARG", "ENV")}

    assert not [name for name in names if re.search("TOKEN|PASSWORD|SECRET|KEY", name)]


def test_the_builder_receives_only_the_copied_paths() -> None:
    lines = (KUBERAY / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    sent = {line[1:] for line in patterns if line.startswith("!")}
    copied = copied_paths()

    assert patterns[0] == "*"
    assert sent == copied
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_packages_come_from_the_installer_that_make_uses(target: str) -> None:
    (command,) = [run for run in of(f"packages-{target}", "RUN") if "install.py" in run]

    assert f"python /requirements/install.py {target} --prefix /packages" in command
    assert {f"requirements/{name}" for name in ("install.py", "uv.txt", "cpu.txt", "cuda.txt")} <= copied_paths()


def test_every_package_is_copied() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = {pattern.removesuffix("*") for pattern in settings["include"]}

    assert packages == {"serve", "deployments", "models"}
    assert packages <= copied_paths()


def test_data_files_of_the_packages_are_not_ignored() -> None:
    lines = (KUBERAY / "Dockerfile.dockerignore").read_text().splitlines()
    ignored = [line.removeprefix("**/") for line in lines if line.startswith("**")]
    files = [path for name in ("models", "deployments", "serve") for path in (ROOT / name).rglob("*") if path.is_file()]
    sources = [path for path in files if "__pycache__" not in path.parts]

    assert not [path for path in sources if any(fnmatch(path.name, pattern) for pattern in ignored)]
    assert Path("models/catalog.yaml") in [path.relative_to(ROOT) for path in sources]


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "gpu-tight", "milvus"])
def test_pods_with_a_gpu_run_the_cuda_image(overlay: str) -> None:
    service = service_of((KUBERAY / "overlays" / overlay / "generated.yaml").read_text())

    stage_by_class = {
        stage["ray_actor_options"]["label_selector"]["ragserve/class"]: stage
        for stage in deployments_of(service).values()
    }
    for name, group in groups_of(service).items():
        image = group["template"]["spec"]["containers"][0]["image"]
        expected = "ragserve-cuda" if stage_by_class[name]["ray_actor_options"]["num_gpus"] else "ragserve-cpu"
        assert image.split(":")[0] == expected
