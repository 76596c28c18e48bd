"""`python -m serve.cli.bench.device [--quick] [--device cuda|cpu]`: prints a table in Markdown, in six minutes."""

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from serve.cli.bench.device.turns import table

OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
MAX_S = 330.0  # no further work begins after this time


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serve.cli.bench.device", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: cuda if there is a GPU")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: seconds on a CPU")
    options = parser.parse_args()
    os.environ.update(OFFLINE)  # before transformers is imported

    from models.source import choose_device
    from serve.cli.bench.device.workloads import DevicePlan, embed, max_sim, rerank, search

    device = options.device or choose_device("auto")
    plan = DevicePlan(device).as_quick() if options.quick else DevicePlan(device)
    start, rows = time.monotonic(), []
    with TemporaryDirectory() as folder:
        for measure in (embed, rerank, max_sim, search):
            if time.monotonic() - start > MAX_S:
                _report(f"{measure.__name__} is left out: {MAX_S:g} s are over")
                continue
            _report(f"{measure.__name__} …")
            rows += measure(plan, Path(folder))
    sys.stdout.write("\n".join([_machine(device, plan.dtype), "", *table(rows), ""]))


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _machine(device: str, dtype: object) -> str:
    import sentence_transformers
    import torch
    import transformers

    from models.compute import processor

    versions = f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    library = f"sentence-transformers {sentence_transformers.__version__}"
    return f"{device}: {processor(device)}, models in {str(dtype).removeprefix('torch.')}; {versions}, {library}"


if __name__ == "__main__":
    main()
