"""The machine and the versions that a benchmark's figures depend on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("torch", "transformers", "sentence-transformers", "ray")
CPU_INFO = Path("/proc/cpuinfo")


def describe_machine(threads: int, device: str = "cpu") -> dict[str, str]:
    """Describe the machine. `threads`: threads of each server's model; `device`: cpu or cuda."""
    import torch

    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads of each server": str(threads),
        "versions": f"Python {platform.python_version()}, {versions}",
    }


def _processor() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
