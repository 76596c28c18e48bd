"""What the kinds that load with sentence-transformers share: weights, engine, tokenizer, and a padded batch."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from models.embedding.tokenizing import EncoderTokenizer, pad
from models.encoding import Encoding
from models.errors import ModelLoadError
from models.source import SourceConfig, choose_device, choose_dtype, describe_attempts, resolve_source, revision_of

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from transformers import PreTrainedTokenizerBase

TYPES = "token_type_ids"
Loaded = TypeVar("Loaded", "SentenceTransformer", "CrossEncoder")


class TransformerConfig(SourceConfig):
    """The part of a config that says what runs the transformer."""

    engine: Literal["auto", "torch", "openvino"] = Field(
        default="torch",
        description="openvino: faster on a CPU; converts the weights when it loads. auto: openvino there, else torch.",
    )
    precision: Literal["as_dtype", "int8"] = Field(
        default="as_dtype", description="int8, with openvino: faster still, for a little quality; see docs/models.md."
    )
    converted: str | None = Field(
        default=None,
        description="A folder that keeps what openvino converted, which takes longest in int8. None: not kept.",
    )

    @model_validator(mode="after")
    def _engine_can(self) -> "TransformerConfig":
        if self.precision == "int8" and self.engine != "openvino":
            raise ValueError("precision int8 needs engine openvino")
        return self


def load_sentence_transformer(name: str, config: TransformerConfig, max_tokens: int) -> "SentenceTransformer":
    """The loaded encoder, which cuts a text at `max_tokens`. Raises ModelLoadError."""
    from sentence_transformers import SentenceTransformer

    model = _load(SentenceTransformer, name, config)
    positions = getattr(model[0].auto_model.config, "max_position_embeddings", max_tokens)
    if max_tokens > positions:
        raise ModelLoadError(name, f"it reads at most {positions} tokens, max_tokens asks for {max_tokens}")
    model.max_seq_length = max_tokens
    return _with_engine(name, model, config, with_types=False)


def load_cross_encoder(name: str, config: TransformerConfig, max_tokens: int) -> "CrossEncoder":
    """The loaded cross-encoder, which has one output. Raises ModelLoadError."""
    from sentence_transformers import CrossEncoder

    model = _load(CrossEncoder, name, config, max_length=max_tokens)
    if model.num_labels != 1:
        raise ModelLoadError(name, f"it has {model.num_labels} outputs; a reranker has one")
    if len(model) > 1:
        raise ModelLoadError(name, "it is a language model; its kind is vllm, with the words around query and document")
    return _with_engine(name, model, config, has_type_ids(model.tokenizer))


def encoder_tokenizer(name: str, tokenizer: "PreTrainedTokenizerBase", max_tokens: int) -> EncoderTokenizer:
    """A tokenizer of our own from the model's. Raises ModelLoadError where it is not a fast one."""
    if not tokenizer.is_fast:
        raise ModelLoadError(name, "its tokenizer is not a fast one, with a tokenizer.json")
    pad_id = tokenizer.pad_token_id
    return EncoderTokenizer(tokenizer.backend_tokenizer, max_tokens, 0 if pad_id is None else pad_id)


def has_type_ids(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the model tells the texts of a pair apart by type ids."""
    return TYPES in tokenizer.model_input_names


def padded_features(
    batch: Sequence[Encoding], pad_id: int, device: "torch.device", with_types: bool = False
) -> dict[str, "torch.Tensor"]:
    """What a transformer reads, each (len(batch), longest): ids, mask and, `with_types`, type ids."""
    import torch

    ids = [encoding.ids for encoding in batch]
    arrays = {"input_ids": pad(ids, pad_id), "attention_mask": pad([np.ones_like(row) for row in ids], 0)}
    if with_types:
        types = [np.zeros_like(one.ids) if one.type_ids is None else one.type_ids for one in batch]
        arrays[TYPES] = pad(types, 0)
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def choose_engine(config: TransformerConfig) -> str:
    """torch or openvino: the configured one, or openvino on a CPU if it is installed.

    Measured with MiniLM in bfloat16, one thread: 2.6 times torch's queries a second one at a time, 1.2 to 1.4 times in
    batches. The vectors of the two have a cosine above 0.9999, so they share one vector space.
    """
    if config.engine != "auto":
        return config.engine
    is_installed = importlib.util.find_spec("openvino") is not None
    return "openvino" if is_installed and choose_device(config.device) == "cpu" else "torch"


def _load(kind: Callable[..., Loaded], name: str, config: TransformerConfig, **options: Any) -> Loaded:
    import torch

    source = resolve_source(name, config)
    # OpenVINO converts from float32, and computes in the dtype that it compiles for.
    in_openvino = choose_engine(config) == "openvino"
    device = "cpu" if in_openvino else choose_device(config.device)
    dtype = torch.float32 if in_openvino else choose_dtype(config.dtype, device)
    try:
        model = kind(
            source.location,
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
        raise ModelLoadError(name, "OpenVINO runs on the CPU here; device says cuda")
    import torch

    from models.embedding.openvino_module import CALIBRATION, OpenVinoModule

    transformer = model[0]
    output = transformer.modality_config["text"]["method_output_name"]
    in_bfloat16 = choose_dtype(config.dtype, "cpu") == torch.bfloat16
    texts = CALIBRATION.read_text().splitlines() if config.precision == "int8" else []
    calibration, kept = _calibration(name, model, texts, with_types), _kept(name, config)
    try:
        transformer.model = OpenVinoModule(transformer.model, output, with_types, in_bfloat16, calibration, kept)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ModelLoadError(name, f"OpenVINO does not take it: {error}") from error
    return model


def _kept(name: str, config: TransformerConfig) -> Path | None:
    """The folder of these weights as this OpenVINO reads them, in this precision."""
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
    """What the model may be given to read: each text, or its first sentence as a query before it."""
    tokenizer = encoder_tokenizer(name, model.tokenizer, model.max_seq_length)
    if as_pairs:
        encodings = [tokenizer.encode_pairs(text.partition(".")[0], [text])[0] for text in texts]
    else:
        encodings = tokenizer.encode(texts)
    return [padded_features([encoding], tokenizer.pad_id, model.device, as_pairs) for encoding in encodings]
