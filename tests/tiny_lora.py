"""A LoRA adapter with random weights for the tiny Llama, in the files that PEFT writes."""

import json
from pathlib import Path

RANK = 8
LAYERS = 2
HIDDEN = 64
TARGETS = ("q_proj", "v_proj", "o_proj")


def build_tiny_lora(folder: Path, seed: int) -> Path:
    """Fill `folder` with an adapter that vLLM loads, and return it. Its weights are large enough to change any text."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(LAYERS):
        for target in TARGETS:
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            weights[f"{prefix}.lora_A.weight"] = torch.randn(RANK, HIDDEN, generator=generator)
            weights[f"{prefix}.lora_B.weight"] = torch.randn(HIDDEN, RANK, generator=generator)
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 16, "target_modules": TARGETS, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
