"""The tiny Llama as a Python package with a GGUF file, as llama.cpp's converter writes it."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.tiny_llama import CHAT_TEMPLATE, MAX_POSITIONS, build_tiny_llama

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def build_tiny_package(folder: Path, name: str) -> Path:
    """Make the package `name` in `folder`, and return the checkpoint that its file was made from."""
    from safetensors.torch import load_file

    checkpoint = build_tiny_llama(folder / f"{name}-checkpoint")
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("raise ImportError('the package must not be imported')")
    weights = {key: value.float().numpy() for key, value in load_file(checkpoint / "model.safetensors").items()}
    _write(folder / name / "tiny.gguf", json.loads((checkpoint / "config.json").read_text()), checkpoint, weights)
    return checkpoint


def _write(path: Path, config: dict[str, int], checkpoint: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    heads = config["num_attention_heads"]
    writer.add_name("tiny")
    writer.add_context_length(MAX_POSITIONS)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, json.loads((checkpoint / "tokenizer.json").read_text()))
    for name, tensor in weights.items():
        is_rotated = name.endswith(("q_proj.weight", "k_proj.weight"))
        writer.add_tensor(_tensor_name(name), _interleaved(tensor, heads) if is_rotated else tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: object, tokenizer: dict) -> None:
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1])
    special = {token["content"] for token in tokenizer["added_tokens"]}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([text for text, _ in vocabulary])
    writer.add_token_types([3 if text in special else 1 for text, _ in vocabulary])  # 3: a control token
    writer.add_token_merges(merges)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_chat_template(CHAT_TEMPLATE)


def _tensor_name(name: str) -> str:
    if not name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
    _, _, layer, *parts, _ = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(parts)]}.weight"


def _interleaved(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """llama.cpp's order of the rows of queries and keys."""
    return weights.reshape(heads, 2, -1, weights.shape[-1]).swapaxes(1, 2).reshape(weights.shape)
