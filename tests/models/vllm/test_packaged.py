"""A language model from a Python package: converted once, whole, and the same model as before."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.vllm import packaged
from models.vllm.packaged import checkpoint, gguf_file
from tests.tiny_gguf import build_tiny_package
from tests.tiny_llama import CHAT_TEMPLATE, EOS, MAX_POSITIONS

PACKAGE = "tiny_gguf_package"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_package(tmp_path_factory.mktemp("packages"), PACKAGE)


@pytest.fixture
def file(original: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an installed package, which is never imported."""
    monkeypatch.syspath_prepend(str(original.parent))
    path = gguf_file(PACKAGE)
    assert path is not None
    assert PACKAGE not in sys.modules
    return path


def test_a_package_that_is_not_installed_or_has_no_file_is_none() -> None:
    assert gguf_file("no_such_package_here") is None
    assert gguf_file("json") is None


def test_the_checkpoint_is_the_same_model(file: Path, original: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    folder = checkpoint(file, tmp_path / "cache")

    before, after = (load_file(path / "model.safetensors") for path in (original, folder))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    tokenizers = [AutoTokenizer.from_pretrained(path) for path in (original, folder)]
    text = f"The Seine, 776 km{EOS}  日本\n"
    assert tokenizers[0].encode(text) == tokenizers[1].encode(text)
    assert (tokenizers[1].eos_token, tokenizers[1].chat_template) == (EOS, CHAT_TEMPLATE)
    assert tokenizers[1].model_max_length == MAX_POSITIONS


def test_it_is_converted_once(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(shutil.copy(file, tmp_path / "Tiny-1.5.Q4_1.gguf"))
    folder = checkpoint(file, cache := tmp_path / "cache")
    monkeypatch.setattr(packaged, "_convert", None)

    assert checkpoint(file, cache) == folder
    assert sorted(path.name for path in cache.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_a_killed_conversion_leaves_nothing_that_counts(file: Path, tmp_path: Path) -> None:
    folder = checkpoint(file, tmp_path)
    folder.rename(tmp_path / f"{folder.name}.partial")  # a process was killed before the last step
    (tmp_path / f"{folder.name}.partial" / "model.safetensors").write_bytes(b"half")

    again = checkpoint(file, tmp_path)

    assert again == folder
    assert (folder / "model.safetensors").stat().st_size > 4
    assert not (tmp_path / f"{folder.name}.partial").exists()


def test_a_file_that_is_no_gguf_leaves_no_folder(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")

    with pytest.raises(ValueError, match=r"broken\.gguf cannot be converted"):
        checkpoint(broken, tmp_path / "cache")

    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_another_version_of_the_file_gets_a_folder_of_its_own(file: Path, tmp_path: Path) -> None:
    first = checkpoint(file, tmp_path)
    longer = shutil.copy(file, tmp_path / file.name)
    with longer.open("ab") as opened:
        opened.write(b"\0")

    assert checkpoint(longer, tmp_path) != first


def test_two_replicas_at_once_convert_once(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads stand for processes: the system's lock belongs to the opened file."""
    conversions: list[Path] = []
    write = packaged._convert
    monkeypatch.setattr(packaged, "_convert", lambda path, folder: conversions.append(folder) or write(path, folder))

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: checkpoint(file, tmp_path), range(2)))

    assert folders[0] == folders[1]
    assert (folders[0] / "model.safetensors").is_file()
    assert len(conversions) == 1
