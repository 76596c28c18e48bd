"""What this processor computes fastest, found when a model loads, and what the model then runs on."""

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# A passage of 128 tokens through MiniLM's feed-forward layer: 3 ms on one core with AVX-512.
ROWS, INNER, COLUMNS = 128, 384, 1536
ROUNDS = 7
# Less gain than this is noise. With instructions for bfloat16 the gain is 2 to 3; emulated, it is 0.3.
LEAST_GAIN = 1.2


@dataclass(frozen=True)
class RunsOn:
    """What a model computes with. `processor` is a GPU's name or a CPU's instruction set."""

    engine: str
    dtype: str
    processor: str
    num_threads: int

    def __str__(self) -> str:
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return ", ".join([self.engine, self.dtype, self.processor, threads])


def passes_at_once(model: object) -> int | None:
    """How many passes the model computes at once, each in the thread that calls it; None if it has threads of its own.

    A model of the latter kind gets its passes one at a time.
    """
    number: int | None = getattr(model, "passes_at_once", None)
    return number


@cache
def torch_gains_by_bfloat16() -> bool:
    """Whether torch multiplies matrices faster in bfloat16 than in float32 on this CPU: timed, in 50 ms.

    A flag of the CPU would not tell if this build of torch uses the instructions, nor if they are fast.
    """
    import torch

    pairs = {dtype: _operands(dtype) for dtype in (torch.float32, torch.bfloat16)}
    times = {dtype: float("inf") for dtype in pairs}
    # The two take turns, and the best time counts: a busy machine delays both, but not every time.
    for _ in range(ROUNDS):
        for dtype, (left, right) in pairs.items():
            start = time.perf_counter()
            torch.matmul(left, right)
            times[dtype] = min(times[dtype], time.perf_counter() - start)
    return times[torch.float32] > LEAST_GAIN * times[torch.bfloat16]


def openvino_gains_by_bfloat16() -> bool:
    """Whether OpenVINO has kernels in bfloat16 for this CPU, as it says itself."""
    import openvino
    from openvino.properties import device

    return "BF16" in openvino.Core().get_property("CPU", device.capabilities)


def instruction_set() -> str:
    """The CPU's widest vectors that torch uses, and its instructions for matrices: "AVX512 VNNI BF16"."""
    import torch

    flags, vectors = torch.cpu.get_capabilities(), torch.backends.cpu.get_cpu_capability()
    is_wide = vectors.startswith("AVX512")  # an operator may have limited a wider CPU
    extensions = {
        "VNNI": (is_wide and flags.get("avx512_vnni")) or flags.get("avx_vnni"),
        "BF16": (is_wide and flags.get("avx512_bf16")) or flags.get("bf16"),
        "AMX": is_wide and (flags.get("amx_bf16") or flags.get("amx_tile")),
    }
    return " ".join([vectors, *(name for name, has_it in extensions.items() if has_it)])


def processor(kind: str) -> str:
    """The name of the first GPU for cuda, or the instruction set for cpu."""
    import torch

    return torch.cuda.get_device_name() if kind == "cuda" else instruction_set()


def _operands(dtype: "torch.dtype") -> tuple["torch.Tensor", "torch.Tensor"]:
    import torch

    return torch.ones(ROWS, INNER, dtype=dtype), torch.ones(INNER, COLUMNS, dtype=dtype)
