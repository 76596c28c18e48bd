"""A language model from a Python package: its GGUF file, converted once to a checkpoint that vLLM loads.

vLLM reads no GGUF. Transformers does: https://huggingface.co/docs/transformers/gguf. The package is not imported.
"""

from pathlib import Path

from models.converted import converted_once, package_file

# Part of the folder's name: raise it when a conversion writes something else.
CONVERSION = 1


def gguf_file(package: str) -> Path | None:
    """The package's GGUF file, the first by name; None if the package is not installed or has none."""
    return package_file(package, "*.gguf")


def checkpoint(file: Path, cache: Path) -> Path:
    """The folder of the file's checkpoint, in `cache`.

    Raises OSError, ValueError, and ImportError without the package `gguf`.
    """
    return converted_once(file, cache, CONVERSION, _convert)


def _convert(file: Path, folder: Path) -> None:
    """Write weights in bfloat16, the tokenizer with its chat template, and the token that ends an answer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    with torch.device("meta"):  # the weights follow
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    # Not from_pretrained: it needs the package `accelerate` for a GGUF file.
    weights = load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=model)["tensors"]
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    if missing := [name for name, parameter in model.named_parameters() if parameter.is_meta]:
        raise ValueError(f"{file.name} has no weights for {missing[0]}")
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.save_pretrained(folder)
