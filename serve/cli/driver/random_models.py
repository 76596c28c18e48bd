"""Models that a benchmark builds where there is no hub: of real size and shape, with random weights.

Speed does not depend on the weights. Both models are built from the folder of a BERT-like sentence model, which has the
tokenizer.
"""

from pathlib import Path

import yaml

from models.catalog import Catalog
from models.source import SourceConfig, fetch_folder

ENCODER = "minilm"  # the embedding model of every benchmark
CROSS_ENCODER = "bench-cross-encoder"
SEED = 0
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} : {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)
MAX_POSITIONS = 4096


def encoder_folder() -> Path:
    """The folder of the benchmarks' embedding model. Raises ModelLoadError if its weights are not on this machine."""
    config = Catalog.open().config("embedding", ENCODER)
    assert isinstance(config, SourceConfig)
    return fetch_folder(ENCODER, config, ["*"])


def write_cross_encoder_catalog(path: Path, cross_encoder: Path) -> Path:
    """A catalog that has the cross-encoder in this folder as CROSS_ENCODER."""
    options = {"source": str(cross_encoder), "engine": "auto"}
    entry = {"kind": "cross_encoder", "licence": "Apache-2.0", "options": options}
    path.write_text(yaml.safe_dump({"reranking": {CROSS_ENCODER: entry}}))
    return path


def build_cross_encoder(encoder: Path, folder: Path) -> Path:
    """A cross-encoder of the encoder's weights with a random head: its scores mean nothing."""
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = BertForSequenceClassification.from_pretrained(encoder, num_labels=1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def build_llama(encoder: Path, folder: Path) -> Path:
    """A Llama of about 13 million parameters, 8 of them in its vocabulary, in bfloat16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(encoder / "tokenizer.json"),
        bos_token="[CLS]",
        eos_token="[SEP]",
        unk_token="[UNK]",
        pad_token="[PAD]",
        model_max_length=MAX_POSITIONS,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=MAX_POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder
