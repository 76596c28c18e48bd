"""What a model runs on: found, not assumed."""

import importlib.util
import os
import subprocess
import sys

import pytest

from models.compute import RunsOn, instruction_set, openvino_gains_by_bfloat16, torch_gains_by_bfloat16
from models.embedding.transformer import TransformerConfig, runs_on
from models.source import choose_dtype

SHOW_INSTRUCTIONS = "from models.compute import instruction_set; print(instruction_set())"
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")


def config(**options: str) -> TransformerConfig:
    return TransformerConfig.model_validate({"source": "any", "device": "cpu"} | options)


def test_it_reads_as_a_line() -> None:
    assert str(RunsOn("torch", "float32", "AVX2", 1)) == "torch, float32, AVX2, 1 thread"
    assert str(RunsOn("openvino", "int8", "AVX512 VNNI", 4)) == "openvino, int8, AVX512 VNNI, 4 threads"


def test_without_instructions_for_bfloat16_float32_is_chosen() -> None:
    import torch

    if "BF16" in instruction_set() or "AMX" in instruction_set():
        pytest.skip("this CPU has them")

    assert not torch_gains_by_bfloat16()
    assert choose_dtype("auto", "cpu") == torch.float32


def test_a_configured_dtype_is_not_questioned() -> None:
    import torch

    assert choose_dtype("bfloat16", "cpu") == torch.bfloat16
    assert runs_on(config(engine="torch", dtype="bfloat16")).startswith("torch, bfloat16, ")
    assert runs_on(config(engine="torch", dtype="float32")).startswith("torch, float32, ")


@needs_openvino
def test_openvino_says_itself_what_it_computes_in() -> None:
    auto = "bfloat16" if openvino_gains_by_bfloat16() else "float32"

    assert runs_on(config(engine="openvino")).startswith(f"openvino, {auto}, ")
    assert runs_on(config(engine="openvino", dtype="float32")).startswith("openvino, float32, ")
    assert runs_on(config(engine="openvino", precision="int8")).startswith("openvino, int8, ")


def test_a_cpu_with_avx2_alone_is_seen_as_such() -> None:
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2"}
    command = [sys.executable, "-c", SHOW_INSTRUCTIONS]

    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert shown.split()[0] in ("AVX2", "DEFAULT")
    assert shown.split()[0] == "DEFAULT" or "BF16" not in shown
