"""kuberay/Dockerfile, as far as it can be judged without building it."""

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
    return [(word.upper(), rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in lines) if word]


def stages() -> dict[str, list[Instruction]]:
    """Each stage's instructions, with those of the stage that it is made from before them."""
    found: dict[str, list[Instruction]] = {}
    name = ""
    for word, rest in instructions():
        if word == "FROM":
            source, _, name = rest.partition(" AS ")
            found[name] = list(found.get(source, []))
        if name:
            found[name].append((word, rest))
    return found


def of(stage: str, word: str) -> list[str]:
    return [rest for one, rest in stages()[stage] if one == word]


def copied_paths() -> set[str]:
    """Paths of the repository that the image is made from."""
    sources = [copy.split()[:-1] for word, copy in instructions() if word == "COPY" and "--from" not in copy]
    return {path for paths in sources for path in paths}


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_runs_as_the_user_that_the_pods_run_as(target: str) -> None:
    user = of(target, "USER")[-1]

    pod = groups_of(service_of((KUBERAY / "overlays/gpu/generated.yaml").read_text()))["cpu"]["template"]["spec"]
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert any(f"--uid {user.split(':')[0]}" in run for run in of(target, "RUN"))


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_has_what_the_operators_probes_call(target: str) -> None:
    installs = " ".join(run for run in of(target, "RUN") if "apt-get install" in run).split()

    assert {"bash", "wget", "grep"} <= set(installs)
    assert all("rm -rf /var/lib/apt/lists" in run for run in of(target, "RUN") if "apt-get update" in run)


def test_every_image_that_it_starts_from_is_pinned() -> None:
    (default,) = [rest for word, rest in instructions() if word == "ARG" and rest.startswith("PYTHON_IMAGE=")]
    sources = {rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"}

    assert sources == {"${PYTHON_IMAGE}", "system"}
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+", default)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_code_is_copied_after_the_packages(target: str) -> None:
    copies = of(target, "COPY")

    assert [copy.split()[0] for copy in copies] == [f"--from=packages-{target}", "--from=code", "--from=code"]


def test_no_secret_and_no_password_is_an_argument() -> None:
    arguments = {rest.split("=")[0] for word, rest in instructions() if word in ("ARG", "ENV")}

    assert not [name for name in arguments if re.search("TOKEN|PASSWORD|SECRET|KEY", name)]


def test_what_is_copied_is_all_that_is_sent_to_the_builder() -> None:
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


def test_every_package_of_ours_is_copied() -> None:
    packages = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    copied = copied_paths()

    assert packages <= copied


def test_data_files_of_our_packages_are_not_left_out() -> None:
    lines = (KUBERAY / "Dockerfile.dockerignore").read_text().splitlines()
    left_out = [line.removeprefix("**/") for line in lines if line.startswith("**")]
    files = [path for name in ("models", "deployments", "serve") for path in (ROOT / name).rglob("*") if path.is_file()]
    kept = [path for path in files if "__pycache__" not in path.parts]

    assert not [path for path in kept if any(fnmatch(path.name, pattern) for pattern in left_out)]
    assert Path("models/catalog.yaml") in [path.relative_to(ROOT) for path in kept]


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "gpu-tight", "milvus"])
def test_pods_with_a_gpu_run_the_cuda_image(overlay: str) -> None:
    service = service_of((KUBERAY / "overlays" / overlay / "generated.yaml").read_text())

    shares = {
        one["ray_actor_options"]["label_selector"]["ragserve/class"]: one for one in deployments_of(service).values()
    }
    for name, group in groups_of(service).items():
        image = group["template"]["spec"]["containers"][0]["image"]
        expected = "ragserve-cuda" if shares[name]["ray_actor_options"]["num_gpus"] else "ragserve-cpu"
        assert image.split(":")[0] == expected
