"""Shared by the kinds that load with sentence-transformers: weights, engine, tokenizer and padded batches."""

import importlib.util
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from models.compute import RunsOn, openvino_gains_by_bfloat16, processor
from models.errors.model_failures import ModelLoadError
from models.source import (
    SourceConfig,
    choose_device,
    choose_dtype,
    describe_attempts,
    loadable,
    resolve_source,
    revision_of,
)
from models.tokens.encoder_tokenizer import EncoderTokenizer, pad
from models.tokens.encoding import Encoding

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from transformers import PreTrainedTokenizerBase

TYPES = "token_type_ids"
Loaded = TypeVar("Loaded", "SentenceTransformer", "CrossEncoder")
# transformers replaces functions of its classes while it loads weights, and puts back what it found. Of two loads at
# once, the second finds the first one's, and leaves it there: models then lose the tie between input and output.
LOADING = threading.Lock()


class TransformerConfig(SourceConfig):
    """The part of a config that chooses the engine of the transformer."""

    engine: Literal["auto", "torch", "openvino"] = Field(
        default="torch",
        description="openvino: faster on a CPU; converts the weights when it loads. auto: openvino there, else torch.",
    )
    precision: Literal["as_dtype", "int8"] = Field(
        default="as_dtype", description="int8, with openvino: faster still, for a little quality; see docs/models.md."
    )
    converted: str | None = Field(
        default=None,
        description="A folder that saves converted models, as converting is slow, above all to int8. None: not saved.",
    )

    @model_validator(mode="after")
    def _engine_supports_precision(self) -> "TransformerConfig":
        if self.precision == "int8" and self.engine != "openvino":
            raise ValueError("precision int8 needs engine openvino")
        return self


def load_sentence_transformer(name: str, config: TransformerConfig, max_tokens: int) -> "SentenceTransformer":
    """The loaded encoder, which truncates texts at `max_tokens`. Raises ModelLoadError."""
    from sentence_transformers import SentenceTransformer

    model = _load(SentenceTransformer, name, config)
    positions = getattr(model[0].auto_model.config, "max_position_embeddings", max_tokens)
    if max_tokens > positions:
        raise ModelLoadError(name, f"it reads at most {positions} tokens, but max_tokens is {max_tokens}")
    model.max_seq_length = max_tokens
    return _with_engine(name, model, config, with_types=False)


def load_cross_encoder(name: str, config: TransformerConfig, max_tokens: int) -> "CrossEncoder":
    """The loaded cross-encoder, which has one output. Raises ModelLoadError."""
    from sentence_transformers import CrossEncoder

    model = _load(CrossEncoder, name, config, max_length=max_tokens)
    if model.num_labels != 1:
        raise ModelLoadError(name, f"it has {model.num_labels} outputs; a reranker has one")
    if len(model) > 1:
        raise ModelLoadError(
            name, "it is a language model; use kind vllm, with before_query, before_document and after_document"
        )
    return _with_engine(name, model, config, has_type_ids(model.tokenizer))


def encoder_tokenizer(name: str, tokenizer: "PreTrainedTokenizerBase", max_tokens: int) -> EncoderTokenizer:
    """An EncoderTokenizer from the model's tokenizer. Raises ModelLoadError if that is not a fast one."""
    if not tokenizer.is_fast:
        raise ModelLoadError(name, "its tokenizer is not a fast one; the checkpoint needs a tokenizer.json")
    pad_id = tokenizer.pad_token_id
    return EncoderTokenizer(tokenizer.backend_tokenizer, max_tokens, 0 if pad_id is None else pad_id)


def has_type_ids(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the model reads type ids, which mark the two texts of a pair."""
    return TYPES in tokenizer.model_input_names


def padded_features(
    batch: Sequence[Encoding], pad_id: int, device: "torch.device", with_types: bool = False
) -> dict[str, "torch.Tensor"]:
    """A transformer's inputs, each (len(batch), longest): ids, mask and, `with_types`, type ids."""
    import torch

    ids = [encoding.ids for encoding in batch]
    arrays = {"input_ids": pad(ids, pad_id), "attention_mask": pad([np.ones_like(row) for row in ids], 0)}
    if with_types:
        types = [np.zeros_like(item.ids) if item.type_ids is None else item.type_ids for item in batch]
        arrays[TYPES] = pad(types, 0)
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def choose_engine(config: TransformerConfig) -> str:
    """torch or openvino: the configured one, or openvino on a CPU if it is installed.

    Measured with MiniLM in bfloat16 on one thread: OpenVINO embeds 2.6 times as many single queries a second as torch,
    and 1.2 to 1.4 times as many in batches. The cosine of their vectors is above 0.9999: they share a vector space.
    """
    if config.engine != "auto":
        return config.engine
    is_installed = importlib.util.find_spec("openvino") is not None
    return "openvino" if is_installed and choose_device(config.device) == "cpu" else "torch"


def calling_threads(config: TransformerConfig) -> int | None:
    """How many passes a model with this config computes at once, each in the thread that calls it; None for others."""
    if choose_engine(config) != "openvino":
        return None
    from models.embedding import openvino_module

    return openvino_module.calling_threads()


def runs_on(config: TransformerConfig) -> str:
    """The engine, dtype, processor and threads of a model with this config, in words."""
    import torch

    engine = choose_engine(config)
    device = "cpu" if engine == "openvino" else choose_device(config.device)
    if engine == "openvino":
        dtype = "int8" if config.precision == "int8" else _openvino_dtype(config)
    else:
        dtype = str(choose_dtype(config.dtype, device)).removeprefix("torch.")
    return str(RunsOn(engine, dtype, processor(device), torch.get_num_threads()))


def _openvino_dtype(config: TransformerConfig) -> str:
    if config.dtype != "auto":
        return config.dtype
    return "bfloat16" if openvino_gains_by_bfloat16() else "float32"


def _load(kind: Callable[..., Loaded], name: str, config: TransformerConfig, **options: Any) -> Loaded:
    import torch

    source = resolve_source(name, config)
    # OpenVINO converts float32 weights and computes in the dtype that it is compiled for.
    uses_openvino = choose_engine(config) == "openvino"
    device = "cpu" if uses_openvino else choose_device(config.device)
    dtype = torch.float32 if uses_openvino else choose_dtype(config.dtype, device)
    try:
        with LOADING:
            model = kind(
                loadable(source, config),
                revision=None if source.is_local else source.revision,
                device=device,
                local_files_only=source.is_local,
                model_kwargs={"dtype": dtype},
                **options,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelLoadError(name, f"tried {describe_attempts(config, source)}: {error}") from error
    return model.eval()


def _with_engine(name: str, model: Loaded, config: TransformerConfig, with_types: bool) -> Loaded:
    """The model with its transformer, the first of its modules, replaced by one that the engine runs."""
    if choose_engine(config) == "torch":
        return model
    if config.device == "cuda":
        raise ModelLoadError(name, "engine openvino runs on the CPU only, but device is cuda")
    from models.embedding.openvino_module import CALIBRATION, OpenVinoModule

    transformer = model[0]
    output = transformer.modality_config["text"]["method_output_name"]
    in_bfloat16 = _openvino_dtype(config) == "bfloat16"
    texts = CALIBRATION.read_text().splitlines() if config.precision == "int8" else []
    calibration, folder = _calibration(name, model, texts, with_types), _converted_folder(name, config)
    try:
        transformer.model = OpenVinoModule(transformer.model, output, with_types, in_bfloat16, calibration, folder)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ModelLoadError(name, f"OpenVINO cannot convert or compile it: {error}") from error
    return model


def _converted_folder(name: str, config: TransformerConfig) -> Path | None:
    """The folder of the converted model. Its name has the weights' revision, the precision and OpenVINO's version."""
    if config.converted is None:
        return None
    import openvino

    weights = revision_of(resolve_source(name, config))
    return (
        Path(config.converted).expanduser() / f"{weights}-{config.precision}-{openvino.__version__.partition('-')[0]}"
    )


def _calibration(
    name: str, model: "SentenceTransformer | CrossEncoder", texts: list[str], as_pairs: bool
) -> list[dict[str, "torch.Tensor"]]:
    """Sample inputs: each text, or with `as_pairs` its first sentence as a query for the text."""
    tokenizer = encoder_tokenizer(name, model.tokenizer, model.max_seq_length)
    if as_pairs:
        encodings = [tokenizer.encode_pairs(text.partition(".")[0], [text])[0] for text in texts]
    else:
        encodings = tokenizer.encode(texts)
    return [padded_features([encoding], tokenizer.pad_id, model.device, as_pairs) for encoding in encodings]
