from pathlib import Path

import pytest

from tests.tiny_llama import build_tiny_llama


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_two_builds_are_the_same_to_the_byte(tmp_path: Path) -> None:
    first, second = (contents(build_tiny_llama(tmp_path / name)) for name in ("first", "second"))

    assert first == second
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(first)
