"""Models of MiniLM's size with random weights, and their tokenizer: made here, as speed does not depend on weights."""

from pathlib import Path
from typing import Any

import numpy as np

SEED = 0
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NUM_WORDS, MAX_TOKENS = 30_000, 256
DIM, LAYERS, HEADS, INNER = 384, 6, 12, 1536  # all-MiniLM-L6-v2


def words(count: int, generator: np.random.Generator) -> str:
    """A text of `count` words, each of which is one token."""
    return " ".join(f"word{number}" for number in generator.integers(0, NUM_WORDS, count))


def texts(count: int, tokens: tuple[int, int], seed: int = SEED) -> list[str]:
    """Texts with tokens[0] to tokens[1] words."""
    generator = np.random.default_rng(seed)
    return [words(int(generator.integers(*tokens)), generator) for _ in range(count)]


def save_encoder(folder: Path) -> Path:
    """A sentence model: transformer, mean pooling, unit length."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import BertModel

    torch.manual_seed(SEED)
    plain = folder / "bert"
    BertModel(_config()).save_pretrained(plain)
    _tokenizer().save_pretrained(plain)
    modules = [Transformer(str(plain), max_seq_length=MAX_TOKENS), Pooling(DIM), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "encoder"))
    return folder / "encoder"


def save_cross_encoder(folder: Path) -> Path:
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(SEED)
    BertForSequenceClassification(_config(num_labels=1)).save_pretrained(folder / "cross")
    _tokenizer().save_pretrained(folder / "cross")
    return folder / "cross"


def _config(**options: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(SPECIAL) + NUM_WORDS,
        hidden_size=DIM,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        **options,
    )


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import BertProcessing
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL, *(f"word{number}" for number in range(NUM_WORDS))]
    tokenizer = Tokenizer(WordLevel({name: place for place, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", names.index("[SEP]")), ("[CLS]", names.index("[CLS]")))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
