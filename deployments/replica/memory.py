"""Check for memory for a second model before it is loaded: the estimated need against the free memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

from models.catalog import Catalog
from models.errors.model_failures import ModelLoadError
from models.registry import Task
from models.source import WEIGHT_SUFFIXES, SourceConfig, resolve_source
from models.vllm.packaged import gguf_file
from models.weights import cached_snapshot

# Upper bound: a checkpoint in bfloat16 that is computed in float32. Measured with MiniLM, 91 MB of float32: a process
# grows by 63 MB in bfloat16, and by 26 MB in float32, whose weights stay mapped from the file.
GROWTH = 2
# From 4 bits in a file to bfloat16. SmolLM2-135M: 98 MB and 269 MB.
GGUF_GROWTH = 3
# vLLM's engine is two processes of its own. Measured with a Llama of 0.2 MB and a KV cache of 1 GiB, on a CPU: 2.0 GB
# of private memory, 2.5 GB resident.
ENGINE_BYTES = 3 * 1024**3 // 2
ENGINE_GPU_SHARE = 0.92  # vLLM's default of gpu_memory_utilization
# Ray kills a worker once the machine's memory is 95 % full: RAY_memory_usage_threshold.
HOST_RESERVE = 0.05
CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
# In a process of its own: CUDA in this process would take some 500 MB of the device for good.
PRINT_CUDA_MEMORY = "import torch; print(*torch.cuda.mem_get_info())"


@dataclass(frozen=True)
class Memory:
    """Bytes on the host and on the first visible GPU."""

    host: int = 0
    gpu: int = 0


def fits_beside(catalog: Catalog, task: Task, alias: str) -> bool:
    """Whether the model fits beside the loaded ones. True for a model that is not on this machine yet. Blocks."""
    config, on_gpu = catalog.config(task, alias), bool(os.environ.get("CUDA_VISIBLE_DEVICES"))
    total_gpu, free = _gpu_bytes() if on_gpu else (0, 0)
    need = required_memory(alias, config, total_gpu)
    return need.gpu <= free and need.host <= free_host_bytes()


def required_memory(alias: str, config: BaseModel, total_gpu_bytes: int) -> Memory:
    """Upper bound of the model's need; zero for a model without weights. `total_gpu_bytes` 0: it runs on the CPU."""
    weights = _weights_bytes(alias, config)
    cache_gib: int | None = getattr(config, "cpu_kv_cache_gib", None)
    if cache_gib is None:
        on_cpu = not total_gpu_bytes or getattr(config, "device", "cpu") == "cpu"
        return Memory(host=GROWTH * weights) if on_cpu else Memory(gpu=GROWTH * weights)
    if not total_gpu_bytes:
        return Memory(host=GROWTH * weights + ENGINE_BYTES + cache_gib * 1024**3)
    options: dict[str, Any] = getattr(config, "engine_kwargs", {})
    return Memory(ENGINE_BYTES, int(options.get("gpu_memory_utilization", ENGINE_GPU_SHARE) * total_gpu_bytes))


def free_host_bytes() -> int:
    """Bytes that can be allocated before the machine, its container or Ray's memory monitor kills a process."""
    machine = psutil.virtual_memory()
    return min([machine.available - int(HOST_RESERVE * machine.total), *_free_in_cgroups()])


def _free_in_cgroups() -> Iterator[int]:
    for limit, usage in CGROUPS:
        try:
            bound = int(limit.read_text())
            yield int((1 - HOST_RESERVE) * bound) - int(usage.read_text())
        except (OSError, ValueError):  # another version of cgroups, or "max": no bound
            continue


def _gpu_bytes() -> tuple[int, int]:
    """Total and free bytes of the first visible GPU; zeros if CUDA fails."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        # torch reuses the memory of freed tensors first.
        return total, free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    printed = subprocess.run([sys.executable, "-c", PRINT_CUDA_MEMORY], capture_output=True, text=True, check=False)
    if printed.returncode != 0:
        return 0, 0
    free, total = map(int, printed.stdout.split())
    return total, free


def _weights_bytes(alias: str, config: BaseModel) -> int:
    """Size of the weight files; 0 for a model without any, or not downloaded yet."""
    source: str | None = getattr(config, "source", None)
    if source is None:
        return 0
    package: str | None = getattr(config, "package", None)
    if package is not None and (file := gguf_file(package)) is not None:
        return GGUF_GROWTH * file.stat().st_size
    if isinstance(config, SourceConfig):
        with suppress(ModelLoadError):
            source = resolve_source(alias, config).location
    folder = Path(source).expanduser()
    if not folder.is_dir():
        folder = cached_snapshot(source, getattr(config, "revision", None)) or folder
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES)
